"""The figures of the laws: what is drawn, and in which order."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np

from vitladder.laws.isoflop import find_minima
from vitladder.laws.study import RunPoint
from vitladder.report.plots import isoflop_curves

SIZES = [1e3 * 2**i for i in range(6)]


def runs_of(losses: list[float], budget: float) -> list[RunPoint]:
    return [
        RunPoint(f"{n:g}", n, budget / (96 * n), budget, loss, budget)
        for n, loss in zip(SIZES, losses, strict=True)
    ]


def test_a_faint_line_behind_its_parabola_joins_all_runs_of_a_budget() -> None:
    inside = runs_of([3.0, 1.2, 1.0, 1.3, 5.0, 9.0], 1e10)
    edge = runs_of([1.0, 1.1, 1.3, 1.5, 2.0, 3.0], 1e12)
    minima = [asdict(minimum) for minimum in find_minima([*inside, *edge])]
    axes = isoflop_curves([*inside, *edge], {"laws": {"isoflop": {"minima": minima}}}).axes[0]
    joined = [
        line
        for line in axes.lines
        if list(line.get_xdata()) == SIZES and line.get_linestyle() not in ("None", "")
    ]
    assert len(joined) == 2
    (parabola,) = [line for line in axes.lines if len(line.get_xdata()) > len(SIZES)]
    assert all(line.get_zorder() < parabola.get_zorder() for line in joined)
    assert all(line.get_linewidth() < parabola.get_linewidth() for line in joined)


def test_the_line_goes_through_the_mean_of_seeds() -> None:
    seeds = [
        *runs_of([2.0, 1.0, 2.0, 3.0, 4.0, 5.0], 1e10),
        *runs_of([2.0, 4.0, 2.0, 3.0, 4.0, 5.0], 1e10),
    ]
    axes = isoflop_curves(seeds, {}).axes[0]
    (line,) = [line for line in axes.lines if list(line.get_xdata()) == SIZES]
    np.testing.assert_allclose(line.get_ydata(), [2.0, 2.0, 2.0, 3.0, 4.0, 5.0])
