"""`tune=true`: measures what is fastest for a run on this machine, once for each shape."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from vitladder.compute.kernels import interchangeable
from vitladder.config import Config
from vitladder.errors import UserError
from vitladder.runs.atomic import write_text
from vitladder.train import candidates
from vitladder.train.candidates import Choice, Here, Step
from vitladder.train.compiler import compiler_missing
from vitladder.train.measures import (
    Candidate,
    keep_measures,
    measures_file,
    measuring,
    read_candidate,
    read_measures,
)
from vitladder.train.race import Race
from vitladder.train.search import climb

FILE = "tuned.json"
STAGES = (
    candidates.attention_steps,
    candidates.precision_steps,
    candidates.compile_steps,
    candidates.memory_steps,
    candidates.micro_batch_steps,
    candidates.micro_batch_steps,
    candidates.thread_steps,
)
WINDOW_SECONDS = 0.5
# Below, not even a compilation that makes steps twice as fast would pay for itself.
COMPILE_FROM_SECONDS = 30.0
# A kernel this much slower than the fastest as it is written does not overtake it when compiled.
COMPILE_FROM_SPEED = 0.6


@dataclass(frozen=True)
class Tuned:
    """The choice for one run, why, and what was measured."""

    choice: Choice
    why: str
    candidates: list[Candidate]


def tune(config: Config, images: int, folder: Path, device: torch.device) -> Tuned:
    """Return the fastest way to train a resolved config here for so many images.

    The run's folder keeps it, so that a run which goes on takes what it began with; what was
    measured is kept for all runs of the shape, in the user's cache folder.
    """
    kept = folder / FILE
    if kept.exists():
        return _read_tuned(json.loads(kept.read_text(encoding="utf-8")))
    own = candidates.asked(config, torch.get_num_threads())
    tuned = pick(_known_or_measured(config, own, images, device), own, images)
    write_text(kept, json.dumps(asdict(tuned), indent=1))
    return tuned


def pick(measured: Sequence[Candidate], own: Choice, images: int) -> Tuned:
    """Return the candidate with the least predicted seconds, against what the config asks for."""
    best = min(measured, key=lambda candidate: candidate.seconds(images))
    asked = next(candidate for candidate in measured if candidate.choice == own)
    why = f"{best.choice}: {best.images_per_s or 0:,.0f} images/s"
    if best.choice != own and asked.images_per_s and best.images_per_s:
        # No ratio: they were not measured in turn, and a machine is not the same for minutes.
        why += f"; {own}, which was asked, had {asked.images_per_s:,.0f}"
    why += (
        f"; {images:,} images in about {best.seconds(images):,.0f} s, of which "
        f"{best.startup_seconds or 0:.0f} s to start ({len(measured)} ways measured)"
    )
    return Tuned(best.choice, why, list(measured))


def _known_or_measured(
    config: Config, own: Choice, images: int, device: torch.device
) -> list[Candidate]:
    """Measure unless the machine and the shape are known; one process of the machine at a time."""
    file = measures_file(config, own, device)
    with measuring(file.parent):
        known = read_measures(file)
        can_compile = compiler_missing(device.type) is None
        if known and not (can_compile and _would_compile_now(known, images)):
            return known
        measured = _measure(config, own, images, device)
        if not any(candidate.images_per_s for candidate in measured):
            failures = "; ".join(f"{one.choice}: {one.failed}" for one in measured)
            raise UserError(f"tune=true: no way of training this run could be measured: {failures}")
        keep_measures(file, config, measured, device)
    return measured


def _measure(config: Config, own: Choice, images: int, device: torch.device) -> list[Candidate]:
    names = interchangeable(config)
    threads = [own.threads] if config.threads else sorted({1, own.threads})

    def kernels(precision: str) -> candidates.Kernels:
        return candidates.serving(config, device.type, names, precision)

    here = Here(device.type, threads, config.data.batch_size, kernels)
    with Race(config) as race:

        def refuse(choice: Choice, best: Choice) -> str | None:
            if choice.compile and not _compiling_pays(race, choice, best, images):
                return "compilation takes longer than it saves"
            return None

        start = Step("asked", own)
        # A process that waits holds its memory: those that lost end at once.
        climb(
            race,
            start,
            here,
            STAGES,
            seconds=WINDOW_SECONDS,
            refuse=refuse,
            beaten=race.leave,
        )
    done = [Candidate(c, m.fastest, m.startup_seconds) for c, m in race.measured.items()]
    return done + [Candidate(c, None, None, why) for c, why in race.failed.items()]


def _compiling_pays(race: Race, choice: Choice, best: Choice, images: int) -> bool:
    if best not in race.measured:
        return False
    fastest = race.measured[best].fastest
    if images / fastest < COMPILE_FROM_SECONDS:
        return False
    written = [
        known.fastest
        for known in race.measured.values()
        if known.choice.attention == choice.attention and known.choice.precision == choice.precision
    ]
    return max(written, default=0.0) > COMPILE_FROM_SPEED * fastest


def _would_compile_now(known: Sequence[Candidate], images: int) -> bool:
    """Whether compilation was not tried, for a shorter run, and may pay for this one."""
    if any(candidate.choice.compile for candidate in known):
        return False
    shortest = min(candidate.seconds(images) for candidate in known)
    return shortest >= COMPILE_FROM_SECONDS


def _read_tuned(data: dict[str, Any]) -> Tuned:
    rows = [read_candidate(row) for row in data["candidates"]]
    return Tuned(Choice(**data["choice"]), data["why"], rows)
