"""IsoFLOP curves: interior minima are found, edges are named and never used."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitladder.laws.isoflop import find_minima, find_minimum, fit_power_law, size_and_data_laws
from vitladder.laws.study import RunPoint, budgets


def run(n_params: float, loss: float, flops: float = 1e12, key: str = "") -> RunPoint:
    return RunPoint(key, n_params, flops / (96 * n_params), flops, loss, flops)


def curve(best: float, flops: float = 1e12, sizes: tuple[float, ...] = (0.25, 0.5, 1, 2, 4)):
    """Runs on an exact parabola of log loss in log N around `best`."""
    return [run(best * s, float(np.exp(0.2 + 0.08 * np.log(s) ** 2)), flops) for s in sizes]


@given(st.floats(1e3, 1e9), st.floats(1e9, 1e20))
def test_the_minimum_of_a_parabola_is_its_vertex(best: float, flops: float) -> None:
    minimum = find_minimum(curve(best, flops))
    assert minimum is not None
    assert not minimum.edge
    assert minimum.n_params == pytest.approx(best, rel=1e-6)
    assert minimum.images == pytest.approx(flops / (96 * best), rel=1e-6)
    assert minimum.loss == pytest.approx(np.exp(0.2), rel=1e-6)
    assert np.polyval(minimum.parabola, np.log(minimum.n_params)) == pytest.approx(0.2, abs=1e-6)


@pytest.mark.parametrize(
    ("losses", "why"),
    [
        ([1.0, 1.2, 1.5, 1.9], "smallest size is the lowest"),
        ([1.9, 1.5, 1.2, 1.0], "largest size is the lowest"),
    ],
)
def test_a_lowest_run_at_the_end_is_an_edge(losses: list[float], why: str) -> None:
    minimum = find_minimum([run(1e4 * 2**i, loss) for i, loss in enumerate(losses)])
    assert minimum is not None
    assert minimum.edge
    assert why in (minimum.reason or "")
    assert minimum.loss == pytest.approx(1.0)


def test_a_vertex_outside_of_the_sizes_is_an_edge() -> None:
    near_flat = [(1.0, 1.002), (2.0, 1.0), (64.0, 1.24), (80.0, 1.2)]
    minimum = find_minimum([run(1e4 * s, loss) for s, loss in near_flat])
    assert minimum is not None
    assert minimum.edge
    assert minimum.reason in (
        "the parabola opens downward",
        "the parabola's vertex lies outside of the sizes run",
    )


def test_two_sizes_make_no_curve() -> None:
    assert find_minimum([run(1e4, 1.2), run(2e4, 1.1), run(2e4, 1.15)]) is None


def test_seeds_of_one_size_are_averaged() -> None:
    seeds = [run(r.n_params, r.loss * f) for r in curve(3e4) for f in (0.98, 1 / 0.98)]
    minimum = find_minimum(seeds)
    assert minimum is not None
    assert minimum.n_params == pytest.approx(3e4, rel=1e-6)


def test_a_far_arm_that_is_no_parabola_does_not_move_the_minimum() -> None:
    runs = curve(3e4)
    far = [run(3e4 * 8, 9.0), run(3e4 * 16, 90.0)]
    minimum = find_minimum([*runs, *far])
    assert minimum is not None
    assert minimum.n_params == pytest.approx(3e4, rel=1e-6)


@pytest.mark.parametrize(
    ("losses", "used"),
    [
        ([1.5, 1.2, 1.0, 1.2, 1.5], 3),  # log 1.5 is farther above the lowest than NEAR
        ([1.2, 1.1, 1.0, 1.1, 1.5], 4),
        ([1.2, 1.1, 1.0, 1.1, 1.2], 5),
        ([9.0, 5.0, 1.0, 5.0, 9.0], 3),
    ],
)
def test_a_minimum_says_how_many_sizes_its_parabola_was_fitted_to(
    losses: list[float], used: int
) -> None:
    minimum = find_minimum([run(1e4 * 2**i, loss) for i, loss in enumerate(losses)])
    assert minimum is not None
    assert minimum.sizes_used == used


def test_an_edge_was_fitted_to_no_size() -> None:
    minimum = find_minimum([run(1e4 * 2**i, 1.0 + i) for i in range(4)])
    assert minimum is not None
    assert (minimum.edge, minimum.sizes_used) == (True, 0)


def test_budgets_within_one_percent_share_a_curve() -> None:
    runs = [run(1e4, 1.0, flops) for flops in (1e12, 1.005e12, 1.02e12, 9.9e11 / 10)]
    assert [len(group) for group in budgets(runs)] == [1, 2, 1]


def test_power_laws_use_interior_minima_only() -> None:
    runs = []
    for flops in (1e10, 1e11, 1e12):
        runs += curve(0.01 * flops**0.5, flops)
    runs += [run(1e3 * 2**i, 1.0 + i, 1e9) for i in range(4)]
    minima = find_minima(runs)
    assert [minimum.edge for minimum in minima] == [True, False, False, False]
    size, data = size_and_data_laws(minima)
    assert size is not None
    assert data is not None
    assert (size.exponent, size.k) == pytest.approx((0.5, 0.01), rel=1e-6)
    assert data.exponent == pytest.approx(0.5, rel=1e-6)
    assert float(size.at(np.array([1e14]))[0]) == pytest.approx(1e5, rel=1e-5)


def test_one_minimum_gives_no_power_law() -> None:
    assert fit_power_law(np.array([1e10]), np.array([1e3])) is None
