"""How sure the laws are: percentile intervals from runs drawn again (Efron 1979).

The parametric law draws pairs from all runs. The IsoFLOP law draws within each budget, since its
budgets are chosen and not found. A draw that determines no law is left out, and counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vitladder.laws.forms import ParametricLaw, Vector
from vitladder.laws.isoflop import find_minima, size_and_data_laws
from vitladder.laws.parametric import NoLaw, fit_parametric
from vitladder.laws.study import RunPoint, budgets

PERCENTILES = (2.5, 97.5)
MIN_USED = 0.5  # of the draws: with fewer, the intervals would only show the draws that went well


@dataclass(frozen=True)
class Intervals:
    """95 % intervals by name (None where too few draws gave a law), and the draws behind them."""

    ci95: dict[str, list[float]] | None
    drawn: int
    used: int


def parametric_intervals(
    n_params: Vector, images: Vector, loss: Vector, law: ParametricLaw, drawn: int, seed: int
) -> Intervals:
    """Intervals for E, A, B, alpha, beta, a and b; each draw starts at the point fit."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(drawn):
        pick = rng.integers(0, len(loss), len(loss))
        try:
            drawn_law = fit_parametric(n_params[pick], images[pick], loss[pick], start=law).law
        except NoLaw:
            continue
        found.append(drawn_law.params() | {"a": drawn_law.a, "b": drawn_law.b})
    return _intervals(found, drawn)


def isoflop_intervals(runs: Sequence[RunPoint], drawn: int, seed: int) -> Intervals:
    """Intervals for the exponents a (of N*) and b (of D*) over the same budgets."""
    rng = np.random.default_rng(seed)
    groups = budgets(runs)
    found = []
    for _ in range(drawn):
        picked = [group[i] for group in groups for i in rng.integers(0, len(group), len(group))]
        size, data = size_and_data_laws(find_minima(picked))
        if size is not None and data is not None:
            found.append({"a": size.exponent, "b": data.exponent})
    return _intervals(found, drawn)


def _intervals(found: Sequence[dict[str, float]], drawn: int) -> Intervals:
    if drawn == 0 or len(found) < MIN_USED * drawn:
        return Intervals(None, drawn, len(found))
    ci95 = {
        name: [float(x) for x in np.percentile([one[name] for one in found], PERCENTILES)]
        for name in found[0]
    }
    return Intervals(ci95, drawn, len(found))
