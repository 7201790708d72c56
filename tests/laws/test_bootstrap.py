"""Intervals: as wide as the noise makes the exponents, and none where the noise is unknown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from vitladder.laws.bootstrap import Intervals, isoflop_intervals
from vitladder.laws.forms import ParametricLaw
from vitladder.laws.isoflop import find_minima, size_and_data_laws
from vitladder.laws.study import RunPoint

LAW = ParametricLaw(E=0.3, A=60.0, B=900.0, alpha=0.5, beta=0.55)
FLOPS_PER_PARAM_IMAGE = 96.0
FOUR = (1e10, 3e10, 1e11, 3e11)  # budgets
NOISE = 0.003  # of log loss: what another seed does
STUDIES = 60
ENOUGH = 52  # of 60 intervals that each hold with chance 0.95, fewer do once in 300 times


def run(n_params: float, loss: float, flops: float = 1e12) -> RunPoint:
    return RunPoint("", n_params, flops / (FLOPS_PER_PARAM_IMAGE * n_params), flops, loss, flops)


def study(
    rng: np.random.Generator, budgets: Sequence[float], sizes: Sequence[float], seeds: int
) -> list[RunPoint]:
    """Runs of LAW with noise: budgets, sizes in multiples of each one's optimum, seeds."""
    runs = []
    for flops in budgets:
        best = LAW.optimal(np.array([flops]), FLOPS_PER_PARAM_IMAGE)[0]
        for n_params in best * np.repeat(sizes, seeds):
            images = flops / (FLOPS_PER_PARAM_IMAGE * n_params)
            loss = LAW.loss(n_params, images) * np.exp(NOISE * rng.standard_normal())
            runs.append(run(float(n_params), float(loss), float(flops)))
    return runs


def curve(best: float, flops: float, sizes: Sequence[float]) -> list[RunPoint]:
    """Runs on a parabola of log loss in log N around `best`."""
    return [run(best * s, float(np.exp(0.08 * np.log(s) ** 2)), flops) for s in sizes]


def intervals_of(budgets: Sequence[float], sizes: Sequence[float], seeds: int) -> np.ndarray:
    """The intervals of N*'s exponent in STUDIES studies [studies, 2]."""
    found = []
    for number in range(STUDIES):
        runs = study(np.random.default_rng([2, number]), budgets, sizes, seeds)
        ci95 = isoflop_intervals(runs, 40, seed=number).ci95
        assert ci95 is not None
        found.append(ci95["a"])
    return np.array(found)


def held(intervals: np.ndarray) -> int:
    """How many intervals hold the true exponent."""
    low, high = intervals.T
    return int(np.sum((low <= LAW.a) & (LAW.a <= high)))


@pytest.mark.parametrize(
    ("sizes", "seeds"),
    [
        ((0.25, 0.5, 1, 2, 4), 1),
        ((0.5, 1, 2), 2),  # only seeds tell the noise
    ],
)
def test_intervals_hold_the_true_exponent_and_are_about_as_wide_as_its_spread(
    sizes: Sequence[float], seeds: int
) -> None:
    estimates = []
    for number in range(300):
        runs = study(np.random.default_rng([1, number]), FOUR, sizes, seeds)
        size, _ = size_and_data_laws(find_minima(runs))
        assert size is not None
        estimates.append(size.exponent)
    low, high = np.percentile(estimates, (2.5, 97.5))

    intervals = intervals_of(FOUR, sizes, seeds)
    assert held(intervals) >= ENOUGH
    width = np.median(intervals[:, 1] - intervals[:, 0])
    assert 1 / 1.6 < width / (high - low) < 1.6


def test_two_runs_beyond_the_parabolas_still_give_intervals_that_hold() -> None:
    assert held(intervals_of(FOUR[:2], (0.35, 0.7, 1.4, 2.8), seeds=1)) >= ENOUGH


def test_sizes_without_noise_give_intervals_without_width() -> None:
    five = (0.25, 0.5, 1.0, 2.0, 4.0)
    runs = [r for c in (1e10, 1e11, 1e12) for r in curve(0.01 * c**0.5, c, five)]
    ci95 = isoflop_intervals(runs, 20, seed=0).ci95
    assert ci95 is not None
    assert [*ci95["a"], *ci95["b"]] == pytest.approx([0.5] * 4, abs=1e-6)


def test_parabolas_through_all_of_their_runs_give_no_interval_and_say_why() -> None:
    three = [r for c in (1e10, 1e12) for r in curve(c**0.5, c, (0.5, 1, 2))]
    found = isoflop_intervals(three, 50, seed=0)
    assert (found.ci95, found.used) == (None, 0)
    assert "nothing tells their noise" in (found.reason or "")


def test_no_draws_give_no_interval() -> None:
    five = [r for c in (1e10, 1e12) for r in curve(c**0.5, c, (0.25, 0.5, 1, 2, 4))]
    none = Intervals(None, 0, 0, same_budgets=0, reason="no draws were asked for")
    assert isoflop_intervals(five, 0, seed=0) == none


def two_noisy_budgets() -> list[RunPoint]:
    """Two deep curves of five sizes, two seeds each, with 1 % of noise."""
    wide = (1 / 8, 1 / 3, 1, 3, 8)
    runs = [r for c in (1e10, 1e11) for _ in range(2) for r in curve(c**0.5, c, wide)]
    noise = np.random.default_rng(0).normal(0, 0.01, len(runs))
    return [replace(r, loss=r.loss * float(np.exp(x))) for r, x in zip(runs, noise, strict=True)]


def test_draws_that_lose_a_budget_are_used_and_counted() -> None:
    runs = two_noisy_budgets()
    shallow = curve(1e6, 1e12, (0.98, 1, 1.02))
    kept, mixed = (isoflop_intervals(these, 40, seed=0) for these in (runs, [*runs, *shallow]))
    assert (kept.used, kept.same_budgets) == (40, 40)
    assert mixed.used == 40
    assert 0 < (mixed.same_budgets or 0) < 20
    assert mixed.ci95 is not None


def test_intervals_need_enough_draws_that_gave_a_law() -> None:
    one_deep, shallow = two_noisy_budgets()[:10], curve(1e6, 1e12, (0.98, 1, 1.02))
    found = isoflop_intervals([*one_deep, *shallow], 200, seed=0)
    assert found.ci95 is None
    assert 0 < found.used < 100
    assert "draws gave a law" in (found.reason or "")


def test_a_budget_with_its_lowest_run_at_an_edge_takes_no_part() -> None:
    runs = two_noisy_budgets()
    edge = [run(1e3 * 2**i, 1.0 + 0.001 * i, 1e9) for i in range(4)]
    assert isoflop_intervals([*edge, *runs], 40, seed=0) == isoflop_intervals(runs, 40, seed=0)
