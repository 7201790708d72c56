"""Where runs come from: what the sources are called, and which of their runs no law may pool."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vitladder.errors import UserError
from vitladder.laws.comparable import difference
from vitladder.laws.study import excluded, read_records, study_name, usable
from vitladder.laws.table import Table
from vitladder.runs.record import Record, read_record


def refuse_unfinished(paths: Sequence[Path]) -> None:
    """Raise UserError where a study has no complete run."""
    for path in paths:
        records = read_records(path) if path.is_dir() else []
        if path.is_dir() and not usable(records):
            advice = f"run `vitladder train -m +sweep={study_name(records, path)}` first"
            raise UserError(f"{path}: {_why_none(records)}; {advice}")


def refuse_mixed(table: Table) -> None:
    """Raise UserError where runs of studies differ in more than size, compute and seed."""
    folders = [str(cell) for cell in table.cells.get("folder", ()) if cell is not None]
    records = [record for one in folders if (record := read_record(Path(one))) is not None]
    reason = difference(records)
    if reason:
        raise UserError(
            f"{table.source}: {reason}; put them in different studies, with study=NAME, or fit "
            "each apart, with --by COLUMN or --where"
        )


def why_no_law(records: Sequence[Record]) -> str | None:
    """Why these records can have no law at all, or None."""
    runs = usable(records)
    return difference(runs) if runs else _why_none(records)


def _why_none(records: Sequence[Record]) -> str:
    """Why none of these records is a run that a law can be fitted to."""
    counts = {name: count for name, count in excluded(records).items() if count}
    unusable = counts.pop("unusable", 0)
    others = [f"{count} {name}" for name, count in counts.items()]
    if not unusable:
        return f"no run is complete ({', '.join(others)})"
    runs = f"{unusable} complete run{'s' if unusable > 1 else ''}"
    numbers = "plan.n_params, plan.flops, results.images and results.val_loss"
    found = ", ".join([f"{runs} without a finite positive number in each of {numbers}", *others])
    return f"no run can be fitted ({found})"


def excluded_of(paths: Sequence[Path]) -> dict[str, int]:
    """How many runs of the studies no law sees, by why."""
    counts: dict[str, int] = {}
    for path in paths:
        if path.is_dir():
            for name, count in excluded(read_records(path)).items():
                counts[name] = counts.get(name, 0) + count
    return counts


def name_of(paths: Sequence[Path]) -> str:
    """What the sources are called together: studies by their names, files by theirs."""
    names = [study_name(read_records(path), path) if path.is_dir() else path.stem for path in paths]
    return ", ".join(names)
