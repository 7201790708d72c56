"""A study read back from disk: its records, and the runs that a law may be fitted to."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from vitladder.errors import UserError
from vitladder.runs.record import FILE, Record, read_record
from vitladder.runs.record_rules import STATUSES

SAME_BUDGET = 1.01  # runs whose budgets differ by less than 1 % share one IsoFLOP curve


@dataclass(frozen=True)
class RunPoint:
    """One complete run as a law sees it.

    N in parameters, D in images, C in FLOPs (3 x forward matmul FLOPs: `flops` spent, `budget`
    aimed at), validation loss in nats.
    """

    run_key: str
    n_params: float
    images: float
    flops: float
    loss: float
    budget: float


def read_records(folder: Path) -> list[Record]:
    """Every `*/record.json` of a study's folder, in the order of the folders' names.

    Hidden folders and folders without a record are skipped. Raises UserError when the folder is
    absent, holds no record, or a record cannot be read.
    """
    if not folder.is_dir():
        why = "it is a file; " if folder.exists() else ""
        raise UserError(f"no study at {folder}: {why}give the folder that holds a study's runs")
    runs = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    records = [record for run in runs if (record := read_record(run)) is not None]
    if not records and (folder / FILE).exists():
        study = folder.absolute().parent if folder == Path() else folder.parent
        raise UserError(
            f"{folder} holds no run: it is a run itself; give the study's folder, {study}"
        )
    if not records:
        raise UserError(
            f"{folder} holds no run (no */record.json): give a study's folder, such as "
            "outputs/demo, which `vitladder train -m +sweep=demo` fills"
        )
    return records


def positive(value: object) -> float | None:
    """The value as a float where it is a finite number above zero, else None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) and number > 0 else None


def positive_cell(text: str) -> float | None:
    """A cell of metrics.csv as a finite number above zero, or None."""
    return positive(float(text)) if text else None


def points(records: Sequence[Record]) -> list[RunPoint]:
    """The complete runs with finite positive N, D, C and validation loss, in the given order."""
    found = (_point(record) for record in records)
    return [point for point in found if point is not None]


def usable(records: Sequence[Record]) -> list[Record]:
    """The records behind `points`, in the same order."""
    return [record for record in records if _point(record) is not None]


def _point(record: Record) -> RunPoint | None:
    if record.status != "complete":
        return None
    n_params, flops = positive(record.plan.get("n_params")), positive(record.plan.get("flops"))
    images, loss = positive(record.results.images), positive(record.results.val_loss)
    if n_params is None or flops is None or images is None or loss is None:
        return None
    return RunPoint(
        run_key=record.run_key,
        n_params=n_params,
        images=images,
        flops=flops,
        loss=loss,
        budget=budget_of(record) or flops,
    )


def excluded(records: Sequence[Record]) -> dict[str, int]:
    """How many runs no law sees, by why; `unusable` are complete ones without a usable number."""
    status = Counter(record.status for record in records)
    unusable = status["complete"] - len(points(records))
    return {name: status[name] for name in STATUSES[1:]} | {"unusable": unusable}


def study_name(records: Sequence[Record], folder: Path) -> str:
    """The study's name: the records' own, or the folder's where they do not say one."""
    names = {record.study for record in records}
    return (names.pop() if len(names) == 1 else "") or folder.resolve().name


def budgets(runs: Sequence[RunPoint]) -> list[list[RunPoint]]:
    """The runs grouped by budget (within 1 % of the group's lowest), budgets ascending."""
    shared = shared_budgets(run.budget for run in runs)
    ordered = sorted(runs, key=lambda run: run.budget)
    return [list(group) for _, group in groupby(ordered, key=lambda run: shared[run.budget])]


def shared_budgets(values: Iterable[float]) -> dict[float, float]:
    """For each budget the lowest of those within 1 % that it counts as one with."""
    shared: dict[float, float] = {}
    lowest = -1.0
    for budget in sorted(set(values)):
        lowest = lowest if 0 <= budget <= lowest * SAME_BUDGET else budget
        shared[budget] = lowest
    return shared


def budget_of(record: Record) -> float | None:
    """The C that a run aimed at, or else planned, in FLOPs; None where neither is known."""
    return positive(record.plan.get("flops_target")) or positive(record.plan.get("flops"))
