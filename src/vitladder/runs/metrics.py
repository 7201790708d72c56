"""metrics.csv: one row for every logged step, each step once, also over interruptions."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

from vitladder.runs.atomic import write_text

COLUMNS = (
    "step",
    "images",
    "flops",
    "train_loss",
    "lr",
    "grad_norm",
    "images_per_s",
    "mfu",
    "val_loss",
    "val_error",
    "val_top5_error",
    "loss_scale",
    "skipped_steps",
)
FILE = "metrics.csv"


def read_rows(folder: Path) -> list[dict[str, str]]:
    """Return the rows of a run's metrics.csv; an unfinished last line is not a row."""
    file = folder / FILE
    if not file.exists():
        return []
    text = file.read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1]
    return list(csv.DictReader(whole.splitlines()))


def open_rows(folder: Path, *, last_step: int) -> TextIO:
    """Open metrics.csv for rows after `last_step`, cutting those that a resumed run repeats."""
    kept = [row for row in read_rows(folder) if int(row["step"]) <= last_step]
    lines = [",".join(COLUMNS), *(",".join(row.get(key, "") for key in COLUMNS) for row in kept)]
    write_text(folder / FILE, "\n".join(lines) + "\n")
    return (folder / FILE).open("a", encoding="utf-8", buffering=1)


def write_row(file: TextIO, row: Mapping[str, float | int | None]) -> None:
    """Append one row; None is an empty cell."""
    file.write(",".join(_cell(row.get(key)) for key in COLUMNS) + "\n")


def to_disk(file: TextIO) -> None:
    """Wait until the rows so far are on the disk."""
    file.flush()
    os.fsync(file.fileno())


def _cell(value: float | int | None) -> str:
    return "" if value is None else repr(value)
