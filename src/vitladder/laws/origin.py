"""Where runs come from: what the sources are called, and which of their runs no law may pool."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vitladder.errors import UserError
from vitladder.laws.comparable import difference
from vitladder.laws.request import Request
from vitladder.laws.study import excluded, read_records, study_name, usable
from vitladder.runs.record import Record


def refuse_mixed(paths: Sequence[Path], request: Request) -> None:
    """Refuse a study without a usable run, or of runs that differ in more than size and compute."""
    for path in paths:
        if not path.is_dir():
            continue
        records = read_records(path)
        if not usable(records):
            advice = f"run `vitladder train -m +sweep={study_name(records, path)}` first"
            raise UserError(f"{path}: no run is complete ({_counts(records)}); {advice}")
        reason = None if request.by or request.where else difference(usable(records))
        if reason:
            raise UserError(
                f"{path}: {reason}; put them in different studies, with study=NAME, "
                "or fit each apart, with --by COLUMN or --where"
            )


def why_no_law(records: Sequence[Record]) -> str | None:
    """Why these records can have no law at all, or None."""
    runs = usable(records)
    return difference(runs) if runs else f"no run is complete ({_counts(records)})"


def _counts(records: Sequence[Record]) -> str:
    return ", ".join(f"{count} {name}" for name, count in excluded(records).items() if count)


def excluded_of(paths: Sequence[Path]) -> dict[str, int]:
    """How many runs of the studies no law sees, by why."""
    counts: dict[str, int] = {}
    for path in paths:
        if path.is_dir():
            for name, count in excluded(read_records(path)).items():
                counts[name] = counts.get(name, 0) + count
    return counts


def name_of(paths: Sequence[Path]) -> str:
    names = [study_name(read_records(path), path) if path.is_dir() else path.stem for path in paths]
    return ", ".join(names)
