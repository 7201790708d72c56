"""What ways of training were measured on a machine, kept for all runs of one shape."""

from __future__ import annotations

import fcntl
import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from vitladder.compute.profile import profile_file, this_machine
from vitladder.config import Config
from vitladder.extend import registry
from vitladder.runs.atomic import write_text
from vitladder.runs.record import versions
from vitladder.train.candidates import Choice
from vitladder.train.device import device_name


@dataclass(frozen=True)
class Candidate:
    """What was measured of one choice; `failed` says why there is no speed."""

    choice: Choice
    images_per_s: float | None
    startup_seconds: float | None
    failed: str | None = None

    def seconds(self, images: int) -> float:
        """Return the predicted seconds for so many images: start-up and steps."""
        if not self.images_per_s:
            return float("inf")
        return (self.startup_seconds or 0.0) + images / self.images_per_s


def measures_file(config: Config, own: Choice, device: torch.device) -> Path:
    """Return where the measures of a resolved config lie: in the user's cache folder."""
    folder = profile_file().parent / "tuned"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{_shape_key(config, own, device)}.json"


def read_measures(file: Path) -> list[Candidate]:
    """Return what was measured before; nothing where the file is absent or damaged."""
    try:
        rows = json.loads(file.read_text(encoding="utf-8"))["candidates"]
        return [read_candidate(row) for row in rows]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def keep_measures(
    file: Path, config: Config, measured: Sequence[Candidate], device: torch.device
) -> None:
    """Write the measures atomically, with the machine and the shape that they are of."""
    data = {
        "machine": this_machine(),
        "device": device_name(device),
        "model": asdict(config.model),
        "batch_size": config.data.batch_size,
        "candidates": [asdict(candidate) for candidate in measured],
    }
    write_text(file, json.dumps(data, indent=1))


def read_candidate(row: dict[str, Any]) -> Candidate:
    """Return a candidate of what asdict and JSON made of it."""
    return Candidate(**{**row, "choice": Choice(**row["choice"])})


@contextmanager
def measuring(folder: Path) -> Iterator[None]:
    """Wait until no other process of this user measures: two would slow each other down."""
    with (folder / ".lock").open("a", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _shape_key(config: Config, own: Choice, device: torch.device) -> str:
    """Return what the speeds depend on, as a hash."""
    code = [plugin.foreign_code() for kind in registry.KINDS for plugin in _plugins(kind)]
    parts = [
        this_machine(),
        device_name(device),
        versions(),
        asdict(config.model),
        config.attention,
        config.position,
        config.data.batch_size,
        config.optim.name,
        config.parallel.remat,
        config.threads,
        asdict(own),
        code,
    ]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def _plugins(kind: str) -> list[registry.Plugin]:
    return list(registry.discover(kind).values())
