"""How sure the laws are: percentile intervals from runs drawn again (Efron 1979).

The parametric law draws pairs from all runs. The IsoFLOP law draws within each budget, since its
budgets are chosen and not found; but a drawn budget may lose its interior minimum (or gain one), so
that its interval mixes laws over different budgets. A draw that determines no law is left out. Both
are counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vitladder.laws.forms import ParametricLaw, Vector
from vitladder.laws.isoflop import Minimum, find_minimum, size_and_data_laws
from vitladder.laws.parametric import NoLaw, fit_parametric
from vitladder.laws.study import RunPoint, budgets

PERCENTILES = (2.5, 97.5)
MIN_USED = 0.5  # of the draws: with fewer, the intervals would only show the draws that went well


@dataclass(frozen=True)
class Intervals:
    """95 % intervals by name (None where too few draws gave a law), and the draws behind them.

    `same_budgets` counts the used draws whose interior minima are at the fit's own budgets; None
    where a law has no minima.
    """

    ci95: dict[str, list[float]] | None
    drawn: int
    used: int
    same_budgets: int | None = None


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
    """Intervals for the exponents a (of N*) and b (of D*), each over a draw's interior minima."""
    rng = np.random.default_rng(seed)
    groups = budgets(runs)
    own = _interior(groups).keys()
    found, same_budgets = [], 0
    for _ in range(drawn):
        picked = [[group[i] for i in rng.integers(0, len(group), len(group))] for group in groups]
        minima = _interior(picked)
        size, data = size_and_data_laws(list(minima.values()))
        if size is not None and data is not None:
            found.append({"a": size.exponent, "b": data.exponent})
            same_budgets += minima.keys() == own
    return _intervals(found, drawn, same_budgets)


def _interior(groups: Sequence[Sequence[RunPoint]]) -> dict[int, Minimum]:
    """The interior minima by the place of their budget."""
    minima = {place: find_minimum(group) for place, group in enumerate(groups)}
    return {place: one for place, one in minima.items() if one is not None and not one.edge}


def _intervals(
    found: Sequence[dict[str, float]], drawn: int, same_budgets: int | None = None
) -> Intervals:
    if drawn == 0 or len(found) < MIN_USED * drawn:
        return Intervals(None, drawn, len(found), same_budgets)
    ci95 = {
        name: [float(x) for x in np.percentile([one[name] for one in found], PERCENTILES)]
        for name in found[0]
    }
    return Intervals(ci95, drawn, len(found), same_budgets)
