"""record.json: the one source of truth about a run, complete or absent."""

from __future__ import annotations

import json
import math
import platform
import subprocess
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from vitladder.errors import UserError
from vitladder.runs.atomic import write_text
from vitladder.runs.reading import Unreadable, json_of
from vitladder.runs.record_rules import SECTIONS, wrong_field

SCHEMA = 1
FILE = "record.json"
FINISHED = ("complete", "diverged")

_PACKAGES = "vitladder torch torchvision timm pytorch-lightning hydra-core wandb datasets numpy"


@dataclass(frozen=True)
class Results:
    """What a run measured; None is "not known". Losses are means over images, errors are rates."""

    train_loss: float | None = None
    val_loss: float | None = None
    best_val_loss: float | None = None
    val_error: float | None = None
    val_top5_error: float | None = None
    images: int = 0
    steps: int = 0
    flops: float = 0.0
    images_per_s: float | None = None
    mfu: float | None = None
    peak_memory_bytes: int | None = None


@dataclass(frozen=True)
class Record:
    """One run: what was asked, planned and forecast for its machine, what came out, where, when."""

    run_key: str
    study: str
    status: str
    config: dict[str, Any]
    plan: dict[str, Any]
    results: Results
    environment: dict[str, Any]
    times: dict[str, Any]
    command: str
    error: str | None = None
    forecast: dict[str, Any] = field(default_factory=dict)
    schema: int = SCHEMA

    def is_of(self, invocation: str) -> bool:
        """Whether the command of this name wrote it."""
        return self.environment.get("invocation") == invocation


def write_record(folder: Path, record: Record) -> None:
    """Write record.json atomically; numbers that are not finite become null."""
    text = json.dumps(_finite(asdict(record)), indent=1, allow_nan=False)
    write_text(folder / FILE, text + "\n")


def read_record(folder: Path) -> Record | None:
    """Return the record of a run's folder, or None where there is none.

    A section that is absent is empty, a field that this version does not know is left out, and a
    number that is not finite is not known. Raises UserError where the file is damaged, foreign, of
    a newer schema, or the record of another run than its folder's.
    """
    file = folder / FILE
    try:
        data = json_of(file)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except Unreadable as why:
        raise _not_a_record(file, str(why)) from why
    if not isinstance(data, dict) or type(data.get("schema")) is not int:
        raise _not_a_record(file, "it has no schema number")
    if data["schema"] > SCHEMA:
        raise UserError(
            f"{file} has schema {data['schema']}, newer than {SCHEMA}; update vitladder"
        )
    wrong = wrong_field(data, Results)
    if wrong:
        raise _not_a_record(file, wrong)
    if data["run_key"] != folder.absolute().name:
        raise _of_another_run(file, data["run_key"])
    return _record(data)


def _not_a_record(file: Path, why: str) -> UserError:
    return UserError(f"{file} is not a record of vitladder ({why}); move its folder away")


def _of_another_run(file: Path, run_key: str) -> UserError:
    """A copied or renamed folder, which would count as a run of its own."""
    name = file.parent.absolute().name
    return UserError(
        f"{file} is of run {run_key!r}, not of {name!r} as its folder says; give the folder back "
        f"its name, or move it away"
    )


def _record(data: dict[str, Any]) -> Record:
    sections = {name: data.get(name) or {} for name in SECTIONS}
    results = Results(**_known(Results, sections["results"]))
    text = {name: data.get(name) or "" for name in ("study", "command")}
    return Record(**_known(Record, {**data, **text, **sections, "results": results}))


def _known(kind: type[Record] | type[Results], values: dict[str, Any]) -> dict[str, Any]:
    """The fields that the class knows, and that are known; it has what stands for the others."""
    names = [field.name for field in fields(kind)]
    return {name: values[name] for name in names if values.get(name) is not None}


def now() -> str:
    """Return the time in UTC, as ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@cache
def versions() -> dict[str, str | None]:
    """Return the versions of the packages that a result depends on, and Python's."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for package in _PACKAGES.split():
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    return found


@cache
def git_commit() -> str | None:
    """Return the commit of the code that runs, "+" appended if it was changed; None outside git.

    An installed copy may lie inside of somebody's repository; its commit is not ours.
    """
    here = Path(__file__).resolve().parent
    try:
        _git(here, "ls-files", "--error-unmatch", Path(__file__).name)
        commit = _git(here, "rev-parse", "HEAD")
        return commit + ("+" if _git(here, "status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(  # noqa: S603  # the arguments are this file's own
        ["git", "-C", str(folder), *arguments],  # noqa: S607
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
