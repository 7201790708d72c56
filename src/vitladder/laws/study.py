"""A study read back from disk: its records, and the runs that a law may be fitted to."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vitladder.errors import UserError

SCHEMA = 1
STATUSES = ("complete", "diverged", "failed", "interrupted")
SECTIONS = ("config", "plan", "results")
SAME_BUDGET = 1.01  # runs whose budgets differ by less than 1 % share one IsoFLOP curve

Record = dict[str, Any]


@dataclass(frozen=True)
class RunPoint:
    """One complete run as a law sees it: N, D, C (3 x forward matmul FLOPs) and validation loss."""

    run_key: str
    n_params: float
    images: float
    flops: float
    loss: float
    budget: float
    width: int | None
    depth: int | None
    heads: int | None
    patch: int | None


def read_records(folder: Path) -> list[Record]:
    """Every `*/record.json` of a study's folder, in the order of the folders' names.

    Hidden folders and folders without a record are skipped. Raises UserError when the folder is
    absent, holds no record, or a record is damaged, foreign or of a newer schema.
    """
    if not folder.is_dir():
        raise UserError(f"no study at {folder}: give the folder that holds a study's runs")
    files = sorted(
        path / "record.json"
        for path in folder.iterdir()
        if path.is_dir() and not path.name.startswith(".") and (path / "record.json").is_file()
    )
    if not files:
        raise UserError(
            f"{folder} holds no run (no */record.json): "
            f"run `vitladder train -m +sweep={folder.name}` first, or give a study's folder"
        )
    return [read_record(file) for file in files]


def read_record(file: Path) -> Record:
    """One record.json, checked to be one. Raises UserError naming the file."""
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UserError(
            f"{file} is damaged ({error}): remove its folder and run it again"
        ) from error
    if not isinstance(record, dict) or not isinstance(record.get("schema"), int):
        raise UserError(f"{file} is not a vitladder record: it has no schema number")
    if record["schema"] > SCHEMA:
        raise UserError(
            f"{file} has schema {record['schema']}, this vitladder reads up to {SCHEMA}: "
            "use the newer vitladder that wrote it"
        )
    wrong = _wrong_field(record)
    if wrong:
        raise UserError(f"{file} is not a vitladder record: {wrong}")
    return record


def _wrong_field(record: Record) -> str | None:
    """What keeps a mapping from being a record, or None."""
    if not isinstance(record.get("run_key"), str):
        return "run_key is not a string"
    if record.get("status") not in STATUSES:
        return f"status is {record.get('status')!r}, not one of {', '.join(STATUSES)}"
    for name in SECTIONS:
        if not isinstance(record.get(name) or {}, dict):
            return f"{name} is not a mapping"
    return None


def positive(value: object) -> float | None:
    """The value as a float where it is a finite number above zero, else None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) and number > 0 else None


def points(records: Sequence[Mapping[str, Any]]) -> list[RunPoint]:
    """The complete runs with finite positive N, D, C and validation loss, in the given order."""
    found = (_point(record) for record in records if record["status"] == "complete")
    return [point for point in found if point is not None]


def _point(record: Mapping[str, Any]) -> RunPoint | None:
    plan, results = record.get("plan") or {}, record.get("results") or {}
    model = (record.get("config") or {}).get("model") or {}
    n_params, flops = positive(plan.get("n_params")), positive(plan.get("flops"))
    images, loss = positive(results.get("images")), positive(results.get("val_loss"))
    if n_params is None or flops is None or images is None or loss is None:
        return None
    return RunPoint(
        run_key=record["run_key"],
        n_params=n_params,
        images=images,
        flops=flops,
        loss=loss,
        budget=positive(plan.get("flops_target")) or flops,
        width=model.get("width"),
        depth=model.get("depth"),
        heads=model.get("heads"),
        patch=model.get("patch"),
    )


def excluded(records: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """How many runs no law sees, by why; `unusable` are complete ones without a usable number."""
    status = Counter(record["status"] for record in records)
    unusable = status["complete"] - len(points(records))
    return {name: status[name] for name in STATUSES[1:]} | {"unusable": unusable}


def study_name(records: Sequence[Mapping[str, Any]], folder: Path) -> str:
    """The study's name: the records' own, or the folder's where they do not say one."""
    names = {record.get("study") for record in records}
    name = names.pop() if len(names) == 1 else None
    return name if isinstance(name, str) and name else folder.resolve().name


def budgets(runs: Sequence[RunPoint]) -> list[list[RunPoint]]:
    """The runs grouped by budget (within 1 % of the group's lowest), budgets ascending."""
    groups: list[list[RunPoint]] = []
    for run in sorted(runs, key=lambda run: run.budget):
        if groups and run.budget <= groups[-1][0].budget * SAME_BUDGET:
            groups[-1].append(run)
        else:
            groups.append([run])
    return groups
