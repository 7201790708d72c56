"""record.json: the one source of truth about a run, complete or absent."""

from __future__ import annotations

import json
import math
import os
import platform
import subprocess
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from vitladder.errors import UserError
from vitladder.runs.atomic import write_text

SCHEMA = 1
FILE = "record.json"
STATUSES = ("complete", "diverged", "failed", "interrupted")
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
    """One run: what was asked, what was planned, what came out, where and when."""

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
    schema: int = SCHEMA


def write_record(folder: Path, record: Record) -> None:
    """Write record.json atomically; numbers that are not finite become null."""
    text = json.dumps(_finite(asdict(record)), indent=1, allow_nan=False)
    write_text(folder / FILE, text + "\n")


def read_record(folder: Path) -> Record | None:
    """Return the record of a run's folder, or None where there is none.

    Raises UserError where the file is damaged or of a schema that this version does not know.
    """
    file = folder / FILE
    if not file.exists():
        return None
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
        if data["schema"] > SCHEMA:
            raise UserError(
                f"{file} has schema {data['schema']}, newer than {SCHEMA}; update vitladder"
            )
        return Record(**{**data, "results": Results(**data["results"])})
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{file} is not a record of vitladder ({error}); move its folder away"
        ) from error


def now() -> str:
    """Return the time in UTC, as ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def versions() -> dict[str, str | None]:
    """Return the versions of the packages that a result depends on, and Python's."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for package in _PACKAGES.split():
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    return found


def machine() -> str:
    """Return the processor's name and its count of cores, such as "Xeon, 2 cores"."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                name = line.partition(":")[2].strip()
                break
    return f"{name}, {os.cpu_count()} cores"


def git_commit() -> str | None:
    """Return the commit of the code that runs, "+" appended if it was changed; None outside git."""
    here = Path(__file__).resolve().parent
    try:
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
