"""The moving average of the weights: its formula, what is measured with it, what is exported."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from checkpoints import last_saved
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from vitladder.compose import compose_config
from vitladder.errors import UserError
from vitladder.runs.record import read_record
from vitladder.train.averaging import KEY, average_weights, averaged

Here = Callable[..., subprocess.CompletedProcess[str]]
TINY = ["model=micro-8", "compute.steps=30", "log_every=10", "evaluations=1", "logger=csv"]
TINY += ["threads=1", "data.batch_size=32"]


@given(st.lists(st.floats(-10, 10), min_size=1, max_size=30), st.floats(0.01, 0.999))
def test_the_average_is_that_of_its_formula(values: list[float], decay: float) -> None:
    parameter = nn.Parameter(torch.zeros(3, dtype=torch.float64))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    expected = values[0]
    for step, value in enumerate(values, start=1):
        parameter.data.fill_(value)
        average_weights(optimizer, decay, step)
        kept = min(decay, (1 + step) / (10 + step))
        expected = value if step == 1 else kept * expected + (1 - kept) * value
    assert optimizer.state[parameter][KEY].tolist() == pytest.approx([expected] * 3)
    with averaged(optimizer):
        assert parameter.tolist() == pytest.approx([expected] * 3)
    assert parameter.tolist() == [values[-1]] * 3


@pytest.mark.slow
def test_the_held_out_split_is_measured_with_the_average_which_is_exported(here: Here) -> None:
    assert here("train", *TINY, "study=plain").returncode == 0
    assert here("train", *TINY, "study=averaged", "optim.ema=0.9").returncode == 0
    runs = [next(Path("outputs", study).iterdir()) for study in ("plain", "averaged")]
    plain, average = (read_record(run) for run in runs)
    assert plain is not None
    assert average is not None
    # The steps are the same; what is measured of them is not.
    assert plain.results.train_loss == average.results.train_loss
    assert plain.results.val_loss != average.results.val_loss
    saved = [last_saved(run)["state_dict"] for run in runs]
    assert all(torch.equal(saved[0][name], saved[1][name]) for name in saved[0])

    done = here("export", str(runs[1]), "average.pth")
    assert done.returncode == 0, done.stderr
    assert "averages of the weights over steps (optim.ema=0.9)" in done.stdout
    exported = torch.load("average.pth", weights_only=True)
    assert not torch.equal(exported["head.weight"], saved[1]["model.head.weight"])
    states = last_saved(runs[1])["optimizer_states"][0]["state"].values()
    averages = {tuple(state[KEY].flatten().tolist()) for state in states}
    assert tuple(exported["head.weight"].flatten().tolist()) in averages


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (["optim.ema=1"], "optim.ema=1 is impossible; it is above 0 and below 1, as 0.999"),
        (["optim.ema=0.9", "precision=bf16_true"], "optim.ema is lost in precision=bf16_true"),
    ],
)
def test_averages_that_could_not_be_are_refused(settings: list[str], says: str) -> None:
    with pytest.raises(UserError, match=says):
        compose_config(settings)
