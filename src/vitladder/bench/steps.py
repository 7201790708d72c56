"""What training steps cost on this machine, fitted to steps of models small and large.

Short runs as `vitladder train` makes them, with its loop, loader and records. As many go on side
by side as the cores have room for, since that is how a study trains small models.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path

import joblib
import numpy as np
from scipy.optimize import nnls

from vitladder.compute.duration import StepCosts, training_ideal, update_ideal
from vitladder.compute.forecast import step_parts
from vitladder.compute.roofline import Roofline
from vitladder.config import Config

# Digits as they are, and scaled to the sizes of photographs: 16 and 64 tokens.
_SMALL = "model.patch=2 data.batch_size=64"
_LARGE = "model.patch=4 model.image_size=32 model.channels=3"
# Steps for most of a second each, since short ones are noisy.
SHAPES = (
    f"{_SMALL} model.width=8 model.depth=1 compute.steps=160",
    f"{_SMALL} model.width=16 model.depth=2 compute.steps=100",
    f"{_SMALL} model.width=32 model.depth=1 compute.steps=120",
    f"{_SMALL} model.width=64 model.depth=2 compute.steps=40",
    f"{_LARGE} model.width=24 model.depth=2 data.batch_size=64 compute.steps=24",
    f"{_LARGE} model.width=64 model.depth=2 data.batch_size=16 compute.steps=24",
    f"{_LARGE} model.width=128 model.depth=3 data.batch_size=8 compute.steps=16",
    f"{_LARGE} model.width=192 model.depth=2 data.batch_size=8 compute.steps=16",
)
# On a machine of many cores a few busy ones stand for all: each run takes most of a gigabyte.
MOST_BESIDE = 8


@dataclass(frozen=True)
class Measured:
    """One short run: its config, seconds of a step, and seconds that were not steps."""

    config: Config
    step: float
    rest: float


def measure_costs(
    precision: str, threads: int, roofs: dict[int, Roofline], shapes: Sequence[str] = SHAPES
) -> StepCosts:
    """Return the costs of steps in this precision with so many threads a run."""
    beside = min(MOST_BESIDE, max(1, joblib.cpu_count() // threads))
    work = (joblib.delayed(measure_steps)(precision, threads, shapes) for _ in range(beside))
    measured = joblib.Parallel(n_jobs=beside, backend="loky")(work)
    return fit_costs([run for runs in measured for run in runs], roofs)


def measure_steps(precision: str, threads: int, shapes: Sequence[str]) -> list[Measured]:
    """Train each shape for a few steps, one after the other."""
    with tempfile.TemporaryDirectory() as folder:
        return [_run(shape, precision, threads, Path(folder)) for shape in shapes]


def fit_costs(runs: Sequence[Measured], roofs: dict[int, Roofline]) -> StepCosts:
    """Return the costs, none below 0, whose relative errors of steps have the least squares."""
    rows, steps = [], []
    for run in runs:
        parts = step_parts(run.config, run.config.data.batch_size)
        ideal = training_ideal(parts, run.config.model.depth, roofs) + update_ideal(parts, roofs)
        rows.append([1.0, ideal.operations, ideal.matmul, ideal.moved])
        steps.append(run.step)
    weights = 1 / np.array(steps)
    found, _ = nnls(np.array(rows) * weights[:, None], np.ones(len(steps)))
    step, operation, matmul, moved = (float(value) for value in found)
    # The first runs of a process load libraries, and its first steps prepare what others find.
    rest = float(np.quantile([run.rest for run in runs], 0.25))
    return StepCosts(run=rest, step=step, operation=operation, matmul=matmul, moved=moved)


def _run(shape: str, precision: str, threads: int, outputs: Path) -> Measured:
    from vitladder.compose import compose_config
    from vitladder.runs.invocation import current
    from vitladder.train.job import Job
    from vitladder.train.loop import train
    from vitladder.train.task import place_of, resolved

    settings = [*shape.split(), f"precision={precision}", f"threads={threads}"]
    settings += ["evaluations=1", "log_every=4", "logger=csv", f"outputs={outputs}"]
    config, data = resolved(compose_config(settings))
    place = place_of(config)
    place.folder.mkdir(parents=True)
    began = time.perf_counter()
    with redirect_stdout(StringIO()):
        record = train(Job(config, data, place, replace(current(), multirun=True)))
    seconds = time.perf_counter() - began
    step = config.data.batch_size / (record.results.images_per_s or float("nan"))
    return Measured(config, step, seconds - record.results.steps * step)
