"""The page's first sentences: what they say in percent is what was measured."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitladder.laws.study import RunPoint
from vitladder.report.answer import answer

RUN = RunPoint("a", 4000.0, 26000.0, 1e10, 1.0, 1e10)


def held_out(ratios: list[float]) -> str:
    """The sentence about runs whose measured losses are these multiples of the predicted ones."""
    logs = np.log(ratios)
    found = {
        "log_rmse": float(np.sqrt(np.mean(logs**2))),
        "bias": float(np.mean(logs)),
        "rows": len(ratios),
        "flops": 1e10,
    }
    reasons = {"parametric": "too few", "isoflop": "too few"}
    laws = {"parametric": None, "isoflop": None}
    return answer([RUN], {"laws": laws, "reasons": reasons, "held_out": found})[-1]


def test_logs_are_shown_as_the_ratios_that_they_are() -> None:
    above = held_out([float(np.exp(0.463))])
    assert "a log RMSE of 0.463 (about 58.9 %)" in above
    assert "on average 58.9 % higher" in above
    assert "on average 21.7 % lower" in held_out([float(np.exp(-0.245))])


@given(st.floats(0.1, 10.0))
def test_measured_losses_are_off_by_their_ratio_to_the_predicted(ratio: float) -> None:
    found = re.search(
        r"on average ([0-9.]+) % (higher|lower) than predicted", held_out([ratio] * 2)
    )
    assert found
    assert float(found[1]) == pytest.approx(100 * abs(ratio - 1), abs=0.051)
    assert ratio == 1 or found[2] == ("higher" if ratio > 1 else "lower")


def test_one_reason_for_everything_is_said_once() -> None:
    why = "these runs differ in attention.name"
    fit = {
        "laws": {"parametric": None, "isoflop": None},
        "reasons": dict.fromkeys(("parametric", "isoflop", "held_out"), why),
        "held_out": None,
    }
    assert answer([RUN], fit) == [
        f"From one complete run at 10¹⁰ FLOPs, no law can be fitted: {why}."
    ]
