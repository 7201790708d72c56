"""What everything around the model costs: a run of vitladder against a bare torch loop."""

from __future__ import annotations

import statistics
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch.nn.functional import cross_entropy

from vitladder.compose import compose_config
from vitladder.compute.plan import Plan, plan
from vitladder.config import Config
from vitladder.data.cache import Prepared, prepare
from vitladder.data.loader import train_loader
from vitladder.runs.invocation import current
from vitladder.runs.tracking import make_tracker
from vitladder.train.fit import Surroundings, fit
from vitladder.train.model import build_model
from vitladder.train.optimizer import build_optimizer
from vitladder.train.schedule import factor
from vitladder.train.task import resolved

_WARM = 20
# About 10 ms a step on one core of a server.
_SETTINGS = ["model.width=48", "model.depth=2", "model.heads=1", "data.batch_size=64", "threads=1"]


@dataclass(frozen=True)
class Overhead:
    """Milliseconds a step, bare and ours, one pair per round, measured in turn."""

    bare_ms: list[float]
    ours_ms: list[float]

    @property
    def ratio(self) -> float:
        """The median over rounds of ours / bare."""
        pairs = zip(self.ours_ms, self.bare_ms, strict=True)
        return statistics.median(ours / bare for ours, bare in pairs)

    @property
    def quartiles(self) -> tuple[float, float]:
        """The first and third quartile over rounds of ours / bare: how noisy the machine was."""
        pairs = zip(self.ours_ms, self.bare_ms, strict=True)
        low, _, high = statistics.quantiles((ours / bare for ours, bare in pairs), n=4)
        return low, high

    def __str__(self) -> str:
        """One line for a person."""
        low, high = self.quartiles
        return (
            f"a step takes {statistics.median(self.bare_ms):.2f} ms in a bare loop, "
            f"{statistics.median(self.ours_ms):.2f} ms in vitladder: ratio {self.ratio:.3f} "
            f"(median of {len(self.bare_ms)} interleaved rounds, "
            f"quartiles {low:.3f} to {high:.3f}, W&B offline)"
        )


def measure_overhead(*, rounds: int = 15, steps: int = 220) -> Overhead:
    """Train the same small model on digits in both ways, in turn, on one thread."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        given = [*_SETTINGS, f"compute.steps={steps}", "evaluations=1", f"outputs={folder}"]
        config, shape = resolved(compose_config(given))
        run_plan = plan(config, shape)
        size, channels = shape.image_size, shape.channels
        data = prepare(config.data, image_size=size, channels=channels, folder=folder / "cache")
        torch.set_num_threads(1)
        bare, ours = [], []
        for index in range(rounds):
            bare.append(_bare(config, data, steps))
            ours.append(_ours(config, run_plan, data, folder / str(index)))
    return Overhead(bare, ours)


def _bare(config: Config, data: Prepared, steps: int) -> float:
    torch.manual_seed(config.seed)
    model = build_model(config).train()
    optimizer = build_optimizer(config, model)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: factor(config.schedule, step, steps)
    )
    parameters = list(model.parameters())
    classes = config.model.classes or len(data.classes)
    batches = train_loader(data, config.data, seed=config.seed, steps=steps, classes=classes)
    began = 0.0
    for step, (images, labels) in enumerate(batches):
        if step == _WARM:
            began = time.perf_counter()
        loss = cross_entropy(model(images), labels)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(parameters, config.optim.clip)
        optimizer.step()
        schedule.step()
    return 1000 * (time.perf_counter() - began) / (steps - _WARM)


def _ours(config: Config, run_plan: Plan, data: Prepared, folder: Path) -> float:
    folder.mkdir()
    tracker = make_tracker(config, asdict(run_plan), folder, "vitladder bench --overhead")
    tracker.start()
    around = Surroundings(folder, torch.device("cpu"), tracker, current())
    outcome = fit(config, run_plan, data, around)
    tracker.finish(failed=False)
    return 1000 * config.data.batch_size / (outcome.results.images_per_s or float("nan"))
