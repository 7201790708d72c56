"""Learning-rate schedules: warm-up, shape, end."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitladder.config import ScheduleConfig
from vitladder.train.schedule import factor

NAMES = st.sampled_from(["cosine", "wsd", "rsqrt"])


@given(NAMES, st.integers(1, 300), st.floats(0, 0.5), st.floats(0, 0.5), st.floats(0, 1))
def test_the_factor_stays_between_0_and_1_and_warms_up_to_1(
    name: str, steps: int, warmup: float, cooldown: float, final: float
) -> None:
    schedule = ScheduleConfig(name, warmup, cooldown, final)
    factors = [factor(schedule, step, steps) for step in range(steps)]
    assert all(0 <= value <= 1 for value in factors)
    first = round(warmup * steps)
    assert factors[:first] == sorted(factors[:first])
    if first:
        assert factors[first - 1] == 1


@given(st.integers(2, 300), st.floats(0, 1))
def test_cosine_falls_to_its_end(steps: int, final: float) -> None:
    schedule = ScheduleConfig("cosine", 0.0, 0.0, final)
    factors = [factor(schedule, step, steps) for step in range(steps + 1)]
    assert factors[0] == 1
    assert factors == sorted(factors, reverse=True)
    assert factors[-1] == pytest.approx(final)


def test_stable_is_stable_until_the_cooldown_and_then_linear() -> None:
    schedule = ScheduleConfig("wsd", 0.1, 0.2, 0.0)
    factors = [factor(schedule, step, 100) for step in range(101)]
    assert factors[10:81] == [1.0] * 71
    assert factors[90] == pytest.approx(0.5)
    assert factors[100] == 0


def test_reciprocal_square_root_halves_at_four_times_the_warm_up() -> None:
    schedule = ScheduleConfig("rsqrt", 0.1, 0.0, 0.0)
    assert factor(schedule, 400, 1000) == pytest.approx(0.5)
    assert factor(schedule, 900, 1000) == pytest.approx(math.sqrt(1 / 9))
