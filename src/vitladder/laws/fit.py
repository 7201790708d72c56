"""From runs to their laws: the one answer that the command, the page and fit.json show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from vitladder.errors import UserError
from vitladder.laws import approaches
from vitladder.laws.additive import Additive
from vitladder.laws.fit_table import Fit, fit_table
from vitladder.laws.origin import (
    excluded_of,
    name_of,
    refuse_unfinished,
    why_no_law,
)
from vitladder.laws.request import Request, select
from vitladder.laws.sources import read_sources, study_table
from vitladder.laws.study import read_records, usable
from vitladder.laws.table import Table

SCHEMA = 2


def fit_sources(paths: Sequence[Path], request: Request) -> Fit:
    """Fit the laws that are asked for to runs of studies, CSV and Parquet files.

    The answer has no NaN: null with a reason. Raises UserError for bad input, and where no law at
    all can be fitted.
    """
    request.check()
    refuse_unfinished(paths)
    table, third = select(read_sources(paths), request)
    head = _head(paths)
    if request.by is None:
        fitted = fit_table(table, request, third)
        _some_law(table, fitted.data)
        return replace(fitted, data=head | fitted.data)
    parts = _groups(table, request.by)
    groups = {value: _group(part, request, third) for value, part in parts.items()}
    if not any(any(group["laws"].values()) for group in groups.values()):
        _some_law(table, next(iter(groups.values())))
    totals = {"runs": sum(group["runs"] for group in groups.values()), "laws": {}}
    return Fit(head | totals | {"by": request.by, "groups": groups}, {})


def _head(paths: Sequence[Path]) -> dict[str, Any]:
    """What an answer is about."""
    source = ", ".join(str(path) for path in paths)
    counts = excluded_of(paths)
    return {"schema": SCHEMA, "study": name_of(paths), "source": source, "excluded": counts}


def _some_law(table: Table, data: Mapping[str, Any]) -> None:
    """Raise UserError where no law at all was fitted."""
    if not any(data["laws"].values()):
        missing = [name for name in data["laws"] if name in data["reasons"]][:2]
        listed = "; ".join(f"{name}: {data['reasons'][name]}" for name in missing)
        raise UserError(f"{table.source}: no law can be fitted: {listed}")


def fit_study(folder: Path, *, bootstrap: int = 4000, seed: int = 0) -> dict[str, Any]:
    """All laws of a study's complete runs. Raises UserError where it has none."""
    return fit_sources([folder], Request(bootstrap=bootstrap, seed=seed)).data


def fit_or_reasons(folder: Path, *, bootstrap: int = 4000, seed: int = 0) -> dict[str, Any]:
    """What a page shows: `fit_study`, or `unfitted_study` where the runs can have no law.

    Raises UserError where the folder holds no study.
    """
    records = read_records(folder)
    if why_no_law(records):
        return unfitted_study(folder)
    request = Request(bootstrap=bootstrap, seed=seed)
    fitted = fit_table(study_table(folder, records), request)
    return _head([folder]) | fitted.data


def unfitted_study(folder: Path) -> dict[str, Any]:
    """The same shape for a study that `fit_study` refuses, so that its page can be written."""
    records = read_records(folder)
    reason = why_no_law(records) or "not fitted"
    laws = (Additive.name, *approaches.NAMES)
    return _head([folder]) | no_laws(laws, reason) | {"runs": len(usable(records))}


def no_laws(names: Sequence[str], reason: str) -> dict[str, Any]:
    """The answer of a table that has none of these laws."""
    return {
        "runs": 0,
        "of_study": False,
        "target": "loss",
        "flops_per": None,
        "scales": {},
        "where": None,
        "hold_out": None,
        "dropped_worst": [],
        "criterion": None,
        "laws": dict.fromkeys(names),
        "held_out": None,
        "flagged_runs": [],
        "flops_per_param_image": None,
        "tournament": [],
        "basis": None,
        "config": None,
        "disagreement": None,
        "reasons": dict.fromkeys((*names, "held_out"), reason),
    }


def _group(table: Table, request: Request, third: str | None) -> dict[str, Any]:
    """The answer for one value of --by: what is wrong in one keeps no other from its laws."""
    try:
        return fit_table(table, request, third).data
    except UserError as error:
        return no_laws([request.law], str(error)) | {"runs": len(table)}


def _groups(table: Table, by: str) -> dict[str, Table]:
    """The rows of each value of a column, in the order of first appearance."""
    rows: dict[str, list[int]] = {}
    for row, cell in enumerate(table.column(by)):
        rows.setdefault("" if cell is None else str(cell), []).append(row)
    return {value: table.rows(np.array(part)) for value, part in rows.items()}
