"""The optimisation ladder: what each change to the same training step brings on this machine."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from vitladder.compute.kernels import variants
from vitladder.compute.plan import plan, resolve
from vitladder.compute.profile import this_machine
from vitladder.config import ComputeConfig, Config, DataShape
from vitladder.errors import UserError
from vitladder.train import candidates
from vitladder.train.candidates import Choice, Here, Step
from vitladder.train.device import DTYPE, device_name, peak_flops, pick_device
from vitladder.train.optimizer import check_optimizer
from vitladder.train.race import Measured, Race
from vitladder.train.search import Climb, Rung, Stage, climb
from vitladder.train.serving import check_plugins

KERNELS = ("naive", "sdpa", "flash")
STAGES = (
    candidates.attention_steps,
    candidates.precision_steps,
    candidates.compile_steps,
    candidates.memory_steps,
    candidates.micro_batch_steps,
    candidates.thread_steps,
)
WINDOW_SECONDS = 1.0
ROUNDS = (3, 9)
# Random images of CIFAR's shape, for a model that does not say which images it sees.
DATA = DataShape(train_images=1, val_images=1, image_size=32, channels=3, classes=10)


@dataclass(frozen=True)
class Row:
    """One rung: its windows, round by round; none of them where it was left out.

    `before` is the row that it was added to, `carried` whether the next stage was added to it.
    """

    name: str
    choice: Choice | None
    left_out: str | None
    images_per_s: list[float]
    mfu: float | None
    memory_bytes: int | None
    startup_seconds: float | None
    ratio_before: float | None
    ratio_first: float | None
    before: Choice | None
    carried: bool

    @property
    def label(self) -> str:
        """What the rung adds, with the kernel where its name is another's: "+ bf16 (naive)"."""
        if self.choice is None or self.name == self.choice.attention:
            return f"{self.name}, {self.choice.precision}" if self.choice else self.name
        numbers = {"micro-batch": self.choice.micro_batch, "threads": self.choice.threads}
        number = f" {numbers[self.name]}" if self.name in numbers else ""
        return f"+ {self.name}{number} ({self.choice.attention})"

    @property
    def median(self) -> float | None:
        """Images a second, the median over rounds."""
        return statistics.median(self.images_per_s) if self.images_per_s else None


@dataclass(frozen=True)
class Ladder:
    """All rungs of one model on one machine."""

    title: str
    flops_per_image: int
    batch_size: int
    rows: list[Row]


def benchable(config: Config) -> Config:
    """Return the resolved config of the model to measure; raises UserError for what cannot be."""
    if config.parallel.name != "single":
        raise UserError(
            f"bench: the ladder is of one device; leave out parallel={config.parallel.name}, or "
            f"see bench --parallel"
        )
    resolved = resolve(config, DATA)
    device = pick_device(resolved.parallel.device)
    check_plugins(resolved, device.type, DTYPE[resolved.precision.name])
    check_optimizer(resolved)
    # Of any length: a budget for training may be less than one step of this model.
    return replace(resolved, compute=ComputeConfig(flops=None, images=None, steps=1))


def measure_ladder(
    config: Config,
    *,
    until: float,
    stages: Sequence[Stage] = STAGES,
    seconds: float = WINDOW_SECONDS,
) -> Ladder:
    """Climb from naive fp32, then measure all rungs in turn until `until` (time.monotonic()).

    What has not begun by then is left out. There are at least 3 rounds and at most 9, of windows
    of about `seconds`.
    """
    device = pick_device(config.parallel.device)
    threads = config.threads or torch.get_num_threads()
    counts = [threads] if config.threads else sorted({1, threads}, reverse=True)

    names = [written for name in KERNELS for written in (name, *variants(config, name))]

    def kernels(precision: str) -> candidates.Kernels:
        return candidates.serving(config, device.type, names, precision)

    here = Here(device.type, counts, config.data.batch_size, kernels)
    start = Step("naive", Choice("naive", "fp32", False, None, threads))
    with Race(config) as race:

        def refuse(choice: Choice, best: Choice) -> str | None:
            del best
            if time.monotonic() > until:
                return "no time was left for it"
            print(f"measuring {choice}", file=sys.stderr, flush=True)
            return None

        climbed = climb(race, start, here, stages, seconds=seconds / 2, refuse=refuse)
        for measured in race.measured.values():
            measured.images_per_s.clear()
        print(f"measuring all {len(race.measured)} in turn", file=sys.stderr, flush=True)
        _final_rounds(race, until, seconds)
        flops = plan(config, DATA).flops_per_image
        rows = [_row(rung, climbed, race, flops, device) for rung in climbed.rungs]
    return Ladder(_title(config, device), flops, config.data.batch_size, rows)


def _final_rounds(race: Race, until: float, seconds: float) -> None:
    least, most = ROUNDS
    for done in range(most):
        if done >= least and time.monotonic() > until:
            return
        race.run(list(race.measured), rounds=1, seconds=seconds)


def _row(rung: Rung, climbed: Climb, race: Race, flops: int, device: torch.device) -> Row:
    choice, first = rung.step.choice, climbed.rungs[0].step.choice
    measured = race.measured.get(choice) if choice else None
    if choice is None or measured is None:
        reason = rung.step.reason or (race.failed.get(choice) if choice else None)
        return Row(
            rung.step.name, choice, reason, [], None, None, None, None, None, rung.before, False
        )
    peak = peak_flops(device, choice.precision, choice.threads)
    later = {other.before for other in climbed.rungs} | {climbed.best}
    return Row(
        name=rung.step.name,
        choice=choice,
        left_out=None,
        images_per_s=measured.images_per_s,
        mfu=measured.median * flops / peak if peak else None,
        memory_bytes=measured.memory_bytes,
        startup_seconds=measured.startup_seconds,
        ratio_before=_ratio(measured, race.measured.get(rung.before) if rung.before else None),
        ratio_first=_ratio(measured, race.measured.get(first) if first else None),
        before=rung.before,
        carried=choice in later,
    )


def _ratio(ours: Measured, theirs: Measured | None) -> float | None:
    """Return the median over rounds of the ratio within a round."""
    if theirs is None:
        return None
    pairs = zip(ours.images_per_s, theirs.images_per_s, strict=False)
    return statistics.median(mine / other for mine, other in pairs)


def _title(config: Config, device: torch.device) -> str:
    model = config.model
    where = this_machine() if device.type == "cpu" else device_name(device)
    return (
        f"ViT of width {model.width}, depth {model.depth}, patch {model.patch}, images of "
        f"{model.image_size} x {model.image_size}, batch {config.data.batch_size}; {where}"
    )
