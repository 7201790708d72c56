"""A run that is stopped after any of its steps ends as if it had not been stopped."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoints import last_saved

from vitladder.compose import compose_config
from vitladder.compute.plan import plan, resolve
from vitladder.config import Config, DataShape
from vitladder.data.cache import Prepared, prepare
from vitladder.data.describe import describe
from vitladder.runs.invocation import current
from vitladder.runs.metrics import read_rows
from vitladder.runs.record import Results
from vitladder.runs.tracking import NoTracker, Tracker
from vitladder.train.fit import Outcome, Surroundings, fit
from vitladder.train.optimizer import learning_rate
from vitladder.train.schedule import factor

SETTINGS = [
    *["model=micro-8", "model.depth=2", "model.drop_path=0.3", "position=learned"],
    *["data.batch_size=16", "log_every=1", "evaluations=2", "checkpoint_seconds=1e-9"],
]


class StopAt(NoTracker):
    """Sends this process a signal when the row of a step is written."""

    def __init__(self, step: int, how: signal.Signals) -> None:
        self.step = step
        self.how = how

    def log(self, row: Mapping[str, Any]) -> None:
        if row["step"] == self.step:
            os.kill(os.getpid(), self.how)


class LosesRowsAt(NoTracker):
    """Removes metrics.csv when the row of a step is written."""

    def __init__(self, step: int, folder: Path) -> None:
        self.step = step
        self.folder = folder

    def log(self, row: Mapping[str, Any]) -> None:
        if row["step"] == self.step:
            (self.folder / "metrics.csv").unlink()


@pytest.fixture(params=[8, 7], ids=["ends on a validation", "ends between validations"])
def run(request: pytest.FixtureRequest) -> tuple[Config, DataShape, Prepared]:
    """A run of a few steps on digits."""
    torch.set_num_threads(1)
    given = compose_config([*SETTINGS, f"compute.steps={request.param}"])
    shape = describe(given.data)
    config = resolve(given, shape)
    return config, shape, prepare(config.data, image_size=8, channels=1, folder=Path("cache"))


def train(run: tuple[Config, DataShape, Prepared], folder: Path, tracker: Tracker) -> Outcome:
    config, shape, prepared = run
    folder.mkdir(exist_ok=True)
    around = Surroundings(folder, torch.device("cpu"), tracker, current())
    return fit(config, plan(config, shape), prepared, around)


CHILDREN = multiprocessing.get_context("forkserver")
CHILDREN.set_forkserver_preload(["vitladder.train.loop"])


def train_in_a_child(
    run: tuple[Config, DataShape, Prepared], folder: Path, tracker: Tracker
) -> int:
    """Train in a process of its own, which may be killed; return the signal that ended it.

    It is no fork of the tests' process: torch refuses a backward in one where code was compiled.
    """
    child = CHILDREN.Process(target=train, args=(run, folder, tracker))
    child.start()
    child.join()
    return -(child.exitcode or 0)


def lasting(results: Results) -> Results:
    """The results without what no two runs share."""
    return replace(results, images_per_s=None, peak_memory_bytes=None)


def rows(folder: Path) -> list[dict[str, str]]:
    """The rows of metrics.csv without speeds."""
    timed = ("images_per_s", "mfu")
    return [{k: v for k, v in row.items() if k not in timed} for row in read_rows(folder)]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """The weights in a run's checkpoint, which with these settings is of its last step."""
    state: dict[str, torch.Tensor] = last_saved(folder)["state_dict"]
    return state


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_stop_after_any_step_changes_nothing(
    run: tuple[Config, DataShape, Prepared], how: signal.Signals
) -> None:
    steps = int(run[0].compute.steps or 0)
    whole = train(run, Path("whole"), NoTracker())
    assert whole.status == "complete"
    assert [row["step"] for row in rows(Path("whole"))] == [str(i + 1) for i in range(steps)]
    for step in range(1, steps):
        folder = Path(f"stopped-{step}")
        if how == signal.SIGKILL:
            assert train_in_a_child(run, folder, StopAt(step, how)) == how
        else:
            first = train(run, folder, StopAt(step, how))
            assert first.status == "interrupted"
            assert first.results.steps == step
        again = train(run, folder, NoTracker())
        assert again.status == "complete"
        assert lasting(again.results) == lasting(whole.results)
        assert rows(folder) == rows(Path("whole"))
        for name, tensor in weights(Path("whole")).items():
            assert torch.equal(tensor, weights(folder)[name]), name


@pytest.mark.slow
# Dynamo looks at the gradient of every input, and torch warns where it is no parameter.
@pytest.mark.filterwarnings("ignore:The .grad attribute:UserWarning")
@pytest.mark.parametrize("run", [7], indirect=True)
@pytest.mark.parametrize(
    "option", [{"micro_batch": 5}, {"remat": "block"}, {"compile": True}], ids=str
)
def test_a_stop_changes_nothing_however_a_step_is_computed(
    run: tuple[Config, DataShape, Prepared], option: dict[str, Any]
) -> None:
    config, shape, prepared = run
    if "compile" in option:
        config = replace(config, compile=True)
    else:
        config = replace(config, parallel=replace(config.parallel, **option))
    asked = (config, shape, prepared)
    whole = train(asked, Path("whole"), NoTracker())
    assert train(asked, Path("stopped"), StopAt(3, signal.SIGTERM)).status == "interrupted"
    again = train(asked, Path("stopped"), NoTracker())
    assert lasting(again.results) == lasting(whole.results)
    assert rows(Path("stopped")) == rows(Path("whole"))
    for name, tensor in weights(Path("whole")).items():
        assert torch.equal(tensor, weights(Path("stopped"))[name]), name


@pytest.mark.slow
def test_a_run_whose_last_step_is_in_its_checkpoint_is_measured_again(
    run: tuple[Config, DataShape, Prepared],
) -> None:
    first = train(run, Path("run"), NoTracker())
    if int(run[0].compute.steps or 0) % 4 == 0:
        assert last_saved(Path("run"))["global_step"] == 8
    before = rows(Path("run"))
    again = train(run, Path("run"), NoTracker())
    assert again.status == "complete"
    assert lasting(again.results) == lasting(first.results)
    assert rows(Path("run")) == before
    assert again.earlier_seconds > 0


@pytest.mark.slow
def test_rows_hold_the_rate_that_the_step_was_made_with(
    run: tuple[Config, DataShape, Prepared],
) -> None:
    train(run, Path("run"), NoTracker())
    config = run[0]
    highest = learning_rate(config.optim, config.model.width, config.model.depth)
    steps = int(config.compute.steps or 0)
    expected = [highest * factor(config.schedule, step, steps) for step in range(steps)]
    assert [float(row["lr"]) for row in rows(Path("run"))] == pytest.approx(expected, rel=1e-12)


def test_weights_that_blow_up_at_the_last_update_are_a_diverged_run(
    run: tuple[Config, DataShape, Prepared],
) -> None:
    config, shape, prepared = run
    wild = replace(config, optim=replace(config.optim, name="sgd", lr=1e30))
    wild = replace(wild, compute=replace(wild.compute, steps=1))
    outcome = train((wild, shape, prepared), Path("wild"), NoTracker())
    assert outcome.status == "diverged"
    assert outcome.error is not None
    assert "the held-out loss is nan at step 1" in outcome.error
    assert outcome.results.train_loss is not None


@pytest.mark.slow
def test_bf16_trains_in_bf16(run: tuple[Config, DataShape, Prepared]) -> None:
    config, shape, prepared = run
    half = replace(config, precision=replace(config.precision, name="bf16"))
    in_fp32 = train(run, Path("fp32"), NoTracker())
    in_bf16 = train((half, shape, prepared), Path("bf16"), NoTracker())
    assert in_bf16.status == "complete"
    assert in_bf16.results.train_loss != in_fp32.results.train_loss
    assert in_bf16.results.train_loss == pytest.approx(in_fp32.results.train_loss, rel=0.02)


def test_rows_that_are_gone_by_the_end_are_missed(
    run: tuple[Config, DataShape, Prepared], tmp_path: Path
) -> None:
    last = int(run[0].compute.steps or 0)
    with pytest.raises(FileNotFoundError, match=r"metrics\.csv"):
        train(run, tmp_path / "gone", LosesRowsAt(last, tmp_path / "gone"))
