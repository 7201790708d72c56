"""Approaches disagree where their intervals of the exponent do not meet."""

from __future__ import annotations

from typing import Any

from vitladder.laws.disagreement import disagreements


def law(a: float, low: float, high: float) -> dict[str, Any]:
    return {"a": a, "ci95": {"a": [low, high]}}


def test_intervals_that_do_not_meet_are_named() -> None:
    laws = {"parametric": law(0.5, 0.45, 0.55), "isoflop": law(0.3, 0.2, 0.4)}
    [pair] = disagreements(laws) or []
    assert pair["laws"] == ["parametric", "isoflop"]
    assert pair["values"] == [0.5, 0.3]
    assert pair["ci95"] == [[0.45, 0.55], [0.2, 0.4]]
    swapped = {"parametric": law(0.3, 0.2, 0.4), "isoflop": law(0.5, 0.45, 0.55)}
    assert len(disagreements(swapped) or []) == 1


def test_intervals_that_meet_are_not() -> None:
    laws = {"parametric": law(0.5, 0.4, 0.6), "isoflop": law(0.3, 0.2, 0.4), "envelope": None}
    assert disagreements(laws) == []


def test_fewer_than_two_intervals_say_nothing() -> None:
    without = {"a": 0.3, "ci95": None}
    assert disagreements({"parametric": law(0.5, 0.4, 0.6), "isoflop": without}) is None
    assert disagreements({"parametric": law(0.5, 0.4, 0.6), "zhai": law(0.1, 0.0, 0.2)}) is None
