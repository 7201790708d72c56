"""Where a table of runs comes from: the records of studies, CSV and Parquet files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vitladder.errors import UserError
from vitladder.laws.comparable import flat
from vitladder.laws.study import RunPoint, points, read_records, usable
from vitladder.laws.table import Table, join
from vitladder.laws.table_files import read_table
from vitladder.runs.record import Record

MODEL = ("width", "depth", "heads", "mlp_ratio", "patch")


def read_sources(paths: Sequence[Path]) -> Table:
    """All runs of all sources, one after another.

    Raises UserError where one is neither a study's folder nor a file that can be read.
    """
    return join([_read(path) for path in paths])


def _read(path: Path) -> Table:
    if path.is_dir():
        return study_table(path, read_records(path))
    if not path.exists():
        raise UserError(
            f"no {path}: give a study's folder, such as outputs/demo, or a CSV or Parquet file"
        )
    return read_table(path)


def study_table(folder: Path, records: Sequence[Record]) -> Table:
    """The complete runs of a study as a table.

    Columns: run, n_params, images, flops, budget (the FLOPs aimed at), loss (validation loss in
    nats), error, the model's width, depth, heads, mlp_ratio and patch, every setting under its
    dotted name, and `folder`, where the run's learning curve lies.
    """
    rows = [
        _row(folder, record, point)
        for record, point in zip(usable(records), points(records), strict=True)
    ]
    names = dict.fromkeys(name for row in rows for name in row)
    cells = {name: [row.get(name) for row in rows] for name in names}
    return Table(str(folder), cells, [f"run {row['run']}" for row in rows])


def _row(folder: Path, record: Record, point: RunPoint) -> dict[str, Any]:
    model = record.config.get("model") or {}
    row = {
        "run": point.run_key,
        "n_params": point.n_params,
        "images": point.images,
        "flops": point.flops,
        "budget": point.budget,
        "loss": point.loss,
        "error": record.results.val_error,
        "folder": str(folder / point.run_key),
    }
    row |= {name: model.get(name) for name in MODEL}
    return row | dict(flat(record.config))
