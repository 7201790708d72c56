"""The page's first sentences: what they say in percent is what was measured."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

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


ISOFLOP = {
    "a": 0.5,
    "b": 0.4,
    "k": 0.01,
    "k_images": 10.0,
    "ci95": {"a": [0.4, 0.6], "b": [0.4, 0.6]},
}
BEST = {"flops": 1e11, "n_params": 4000.0, "images": 260_000.0, "loss": 0.5, "ci95": None}
BOUNDS = {"n_params": [3000.0, 5000.0], "images": [2e5, 3e5], "loss": [0.4, 0.6]}


def sentences(isoflop: Any = None, parametric: Any = None, **reasons: str) -> list[str]:
    why = {"held_out": "too few", "isoflop": "no minima", "parametric": "too alike"} | reasons
    laws = {"isoflop": isoflop, "parametric": parametric}
    return answer([RUN], {"laws": laws, "reasons": why, "held_out": None})


def test_the_prescription_has_its_intervals_and_the_loss_to_expect() -> None:
    law = {"a": 0.45, "b": 0.55, "ci95": None, "frontier": [BEST | {"ci95": BOUNDS}]}
    found, prescribed, held_out = sentences(ISOFLOP, law, parametric_ci95="no draws agree")
    assert "N*\u00a0∝\u00a0C⁰·⁵⁰ (95 % interval 0.40 to 0.60)" in found
    assert found.endswith("C⁰·⁴⁵ (no interval for the parametric law: no draws agree).")
    assert prescribed == (
        "With ten times the largest budget (10¹¹ FLOPs), the parametric law says to train "
        "N*\u00a0=\u00a04k (95 % interval 3k to 5k) parameters on "
        "D*\u00a0=\u00a0260k (95 % interval 200k to 300k) images, and "
        "expects a validation loss of 0.500 (0.400 to 0.600); the IsoFLOP minima say "
        "N*\u00a0=\u00a03.16k and D*\u00a0=\u00a0251k."
    )
    assert held_out == "Nothing was held out (too few)."


def test_minima_prescribe_without_a_loss_where_they_are_the_only_law() -> None:
    _, prescribed, _ = sentences(ISOFLOP)
    assert "N*\u00a0=\u00a03.16k parameters on D*\u00a0=\u00a0251k images" in prescribed
    assert "no parametric law (too alike)" in prescribed


def test_a_missing_prescription_says_why() -> None:
    found, prescribed, _ = sentences()
    assert "no law can be fitted yet: too alike; no minima" in found
    assert prescribed.endswith("no law says yet what to train: too alike.")


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


def prescribed(n_params: float) -> str:
    """The second sentence where runs have 4,000 and 8,000 parameters."""
    law = {"a": 0.45, "b": 0.55, "ci95": None, "frontier": [BEST | {"n_params": n_params}]}
    fit = {"laws": {"isoflop": None, "parametric": law}, "reasons": {}, "held_out": None}
    runs = [RUN, replace(RUN, n_params=8000.0)]
    return answer(runs, fit | {"reasons": {"held_out": "too few", "isoflop": "none"}})[1]


def test_a_size_that_no_run_reaches_is_said_to_be_one() -> None:
    assert "N* is 5.5 times the largest size that was run" in prescribed(44_000.0)
    assert "N* is 0.25 of the smallest size that was run" in prescribed(1000.0)
    assert "size that was run" not in prescribed(6000.0)


@pytest.mark.parametrize(
    ("laws", "said"),
    [(["parametric", "isoflop"], True), (["isoflop", "envelope"], False), ([], False)],
)
def test_only_a_disagreement_of_the_two_laws_of_the_page_is_said(
    laws: list[str], said: bool
) -> None:
    parametric = {"a": 0.45, "b": 0.55, "ci95": None, "frontier": [BEST]}
    pairs = [{"laws": laws, "exponent": "a"}] if laws else []
    fit = {"laws": {"isoflop": ISOFLOP, "parametric": parametric}, "disagreement": pairs}
    found, *_ = answer([RUN], fit | {"reasons": {"held_out": "too few"}, "held_out": None})
    assert ("The two disagree beyond their intervals." in found) == said
