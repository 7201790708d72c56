"""What W&B's dashboards ask a run for, by name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitladder.runs.metrics import COLUMNS
from vitladder.runs.wandb_names import AXES, NAMES, in_wandb

CONFIG = {"plan.images": 1000, "plan.tokens": 17000, "data.batch_size": 64}


def test_the_names_are_those_that_dashboards_know() -> None:
    row = dict.fromkeys(COLUMNS, 1.0) | {"peak_memory_bytes": 5}
    assert set(in_wandb(row, CONFIG)) == {
        "step",
        "compute/flops",
        "data/images",
        "data/tokens",
        "train/loss",
        "val/loss",
        "val/error",
        "val/top5_error",
        "optim/lr",
        "optim/grad_norm",
        "optim/loss_scale",
        "optim/skipped_steps",
        "perf/images_per_s",
        "perf/step_ms",
        "perf/mfu",
        "perf/peak_memory",
    }
    assert set(COLUMNS) - {"step"} <= NAMES.keys()
    assert AXES[0] == "compute/flops"


def test_each_figure_has_its_own_name() -> None:
    row = {"lr": 1.0, "grad_norm": 2.0, "train_loss": 3.0, "val_loss": 4.0, "mfu": 5.0}
    assert in_wandb(row, {}) == {
        "optim/lr": 1.0,
        "optim/grad_norm": 2.0,
        "train/loss": 3.0,
        "val/loss": 4.0,
        "perf/mfu": 5.0,
    }


def test_what_is_not_known_is_left_out() -> None:
    assert in_wandb({"step": 1, "val_loss": None, "status": "complete"}, {}) == {
        "step": 1,
        "status": "complete",
    }
    assert in_wandb({"images": 5, "images_per_s": 2.0}, {}) == {
        "data/images": 5,
        "perf/images_per_s": 2.0,
    }


@given(st.integers(1, 10**9), st.floats(1e-3, 1e7), st.integers(1, 10**5), st.integers(1, 1025))
def test_tokens_and_the_time_of_a_step_follow_from_the_others(
    images: int, speed: float, batch: int, tokens: int
) -> None:
    config = {"plan.images": 100, "plan.tokens": 100 * tokens, "data.batch_size": batch}
    row = in_wandb({"images": images, "images_per_s": speed}, config)
    assert row["data/tokens"] == pytest.approx(images * tokens)
    assert row["perf/step_ms"] * speed == pytest.approx(1000 * batch)
