"""A run diverges by a loss that is not finite, or that stays above its start's for too long."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitladder.train.divergence import ABOVE, LEAST_STEPS, Diverged, LossHistory

START = 2.3


def ends(steps: int, every: int, loss: Callable[[int], float]) -> int | None:
    """The step at which a run with these losses has diverged, or None."""
    history = LossHistory()
    for step in range(every, steps + 1, every):
        try:
            history.see(step, START if step == every else loss(step), loss(step), steps)
        except Diverged:
            return step
    return None


@pytest.mark.parametrize("loss", [float("nan"), float("inf"), -float("inf")])
def test_a_loss_that_is_not_finite_ends_the_run_at_once(loss: float) -> None:
    assert ends(1000, 20, lambda step: loss if step >= 60 else 2.0) == 60


def test_a_loss_above_the_start_ends_the_run_after_a_fifth_of_it() -> None:
    assert ends(2000, 20, lambda step: 5.0 if step > 500 else 2.0) == 900
    assert ends(200, 20, lambda step: 5.0) == LEAST_STEPS


def test_a_plateau_at_the_start_and_a_spike_that_passes_are_no_divergence() -> None:
    assert ends(2000, 20, lambda step: START * 1.05) is None
    assert ends(2000, 20, lambda step: 9.0 if step % 400 < 380 else 2.0) is None
    assert ends(90, 20, lambda step: 9.0) is None


@given(st.lists(st.floats(0.01, ABOVE * START), min_size=1, max_size=200), st.integers(1, 50))
def test_no_finite_loss_below_the_limit_ever_ends_a_run(losses: list[float], every: int) -> None:
    steps = every * len(losses)
    assert ends(steps, every, lambda step: losses[step // every - 1]) is None


def test_a_resumed_run_remembers_how_long_its_loss_has_been_too_high() -> None:
    history = LossHistory()
    for step in range(20, 100, 20):
        history.see(step, START, 5.0, 200)
        history = LossHistory(**asdict(history))
    with pytest.raises(Diverged, match=r"at step 100 and has been above the start's 2\.3 by"):
        history.see(100, 5.0, 5.0, 200)
