"""The optimisation ladder as a table for people and as CSV for programs."""

from __future__ import annotations

import csv
import io
from dataclasses import asdict

from rich import box
from rich.table import Table

from vitladder.bench.ladder import Ladder, Row
from vitladder.report.notation import MISSING

COLUMNS = ("images/s", "min to max", "MFU", "peak MiB", "start s", "x before", "x first")


def ladder_table(ladder: Ladder) -> Table:
    """Return the table: medians over rounds, and ratios as medians of each round's ratio.

    A star marks what is carried on; a rung that was left out says why below the table.
    """
    rounds = max((len(row.images_per_s) for row in ladder.rows), default=0)
    gflops = ladder.flops_per_image / 1e9
    table = Table(
        title=f"{ladder.title}\n{gflops:.2f} GFLOPs an image (3 x forward matmul); medians of "
        f"{rounds} interleaved rounds; * is carried on",
        title_justify="left",
        box=box.SIMPLE,
        pad_edge=False,
        caption="\n".join(f"{row.name}: {row.left_out}" for row in ladder.rows if row.left_out),
        caption_justify="left",
    )
    table.add_column("rung", no_wrap=True)
    for column in COLUMNS:
        table.add_column(column, justify="right", no_wrap=True)
    for row in ladder.rows:
        table.add_row(*_cells(row))
    return table


def ladder_csv(ladder: Ladder) -> str:
    """Return the rows as CSV, one column for each part of a choice; unknown is empty."""
    out = io.StringIO()
    parts = ("attention", "precision", "compile", "keep_memory", "micro_batch", "threads")
    numbers = ("median", "lowest", "highest", "mfu", "memory_bytes", "startup_seconds")
    ratios = ("ratio_before", "ratio_first")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["rung", *parts, "images_per_s", *numbers[1:], *ratios, "carried", "left_out"])
    for row in ladder.rows:
        choice = asdict(row.choice) if row.choice else dict.fromkeys(parts)
        speeds = row.images_per_s
        ends = (min(speeds), max(speeds)) if speeds else (None, None)
        measures = (row.median, *ends, row.mfu, row.memory_bytes, row.startup_seconds)
        last = (row.ratio_before, row.ratio_first, row.carried, row.left_out)
        writer.writerow([row.name, *(choice[part] for part in parts), *measures, *last])
    return out.getvalue()


def _cells(row: Row) -> list[str]:
    if row.median is None:
        return [row.label, *[MISSING] * len(COLUMNS)]
    return [
        f"{row.label} *" if row.carried else row.label,
        f"{row.median:,.1f}",
        f"{min(row.images_per_s):,.0f} to {max(row.images_per_s):,.0f}",
        MISSING if row.mfu is None else f"{100 * row.mfu:.0f} %",
        MISSING if row.memory_bytes is None else f"{row.memory_bytes / 2**20:,.0f}",
        MISSING if row.startup_seconds is None else f"{row.startup_seconds:.1f}",
        MISSING if row.ratio_before is None else f"{row.ratio_before:.2f}",
        MISSING if row.ratio_first is None else f"{row.ratio_first:.2f}",
    ]
