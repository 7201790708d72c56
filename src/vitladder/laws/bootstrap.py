"""How sure the laws are: percentile intervals from studies drawn again (Efron 1979).

The parametric law draws pairs: runs, with replacement, whose N and D come along. That is sound
here because one smooth curve goes through all runs, and a run drawn twice counts twice.

The IsoFLOP law draws residuals instead (Davison & Hinkley 1997, section 6.2.3): a parabola needs
its sizes, so drawing runs would measure what losing a size does and not what noise does. Each draw
adds residuals of the fitted parabolas, pooled over the budgets, to all runs and finds the minima
again. Budgets whose minimum is at an edge have no parabola and take no part; a budget may lose its
minimum in a draw, which is counted. A draw that determines no law is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtrit

from vitladder.laws.forms import ParametricLaw, Vector
from vitladder.laws.isoflop import MIN_SIZES, Minimum, find_minimum, size_and_data_laws
from vitladder.laws.parametric import NoLaw, fit_parametric
from vitladder.laws.study import RunPoint, budgets

PERCENTILES = (2.5, 97.5)
MIN_USED = 0.5  # of the draws: with fewer, the intervals would only show the draws that went well
NO_RESIDUALS = (
    "each parabola goes exactly through its runs, so that nothing tells their noise: "
    "run a fourth size or a second seed"
)


@dataclass(frozen=True)
class Intervals:
    """95 % intervals by name (None, with the reason, where there are none), and their draws.

    `same_budgets` counts the used draws in which every budget of the law kept its interior minimum;
    None where a law has no minima.
    """

    ci95: dict[str, list[float]] | None
    drawn: int
    used: int
    same_budgets: int | None = None
    reason: str | None = None


@dataclass(frozen=True)
class _Curve:
    """One budget's runs, the log loss that its parabola expects of each, and which it used.

    Runs of sizes beside the parabola's are expected at their size's own mean.
    """

    runs: Sequence[RunPoint]
    expected: Vector
    used: NDArray[np.bool_]

    @property
    def residuals(self) -> Vector:
        """Log measured - log expected loss of the used runs."""
        return np.log([run.loss for run in self.runs])[self.used] - self.expected[self.used]

    @property
    def freedom(self) -> int:
        """The used runs beyond the parabola's three coefficients."""
        return len(self.residuals) - MIN_SIZES


def parametric_intervals(
    n_params: Vector, images: Vector, loss: Vector, law: ParametricLaw, drawn: int, seed: int
) -> Intervals:
    """Intervals for E, A, B, alpha, beta, a and b; each draw starts at the point fit.

    N, D in images and loss in nats: [runs].
    """
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
    """Intervals for the exponents a (of N*) and b (of D*) through the runs' interior minima."""
    curves = [curve for group in budgets(runs) if (curve := _fitted(group)) is not None]
    noise = _noise(curves)
    if len(noise) == 0:
        return Intervals(None, drawn, used=0, same_budgets=0, reason=NO_RESIDUALS)
    rng = np.random.default_rng(seed)
    found, same_budgets = [], 0
    for _ in range(drawn):
        minima = [_drawn_minimum(curve, noise, rng) for curve in curves]
        kept = [minimum for minimum in minima if minimum is not None and not minimum.edge]
        size, data = size_and_data_laws(kept)
        if size is not None and data is not None:
            found.append({"a": size.exponent, "b": data.exponent})
            same_budgets += len(kept) == len(curves)
    return _intervals(found, drawn, same_budgets)


def _fitted(group: Sequence[RunPoint]) -> _Curve | None:
    """One budget's runs around its parabola, or None without an interior minimum."""
    minimum = find_minimum(group)
    if minimum is None or minimum.parabola is None or minimum.span is None:
        return None
    n_params, log_loss = np.array([(run.n_params, np.log(run.loss)) for run in group]).T
    low, high = minimum.span
    used = (low <= n_params) & (n_params <= high)
    own_mean = np.array([log_loss[n_params == size].mean() for size in n_params])
    expected = np.where(used, np.polyval(minimum.parabola, np.log(n_params)), own_mean)
    return _Curve(group, expected, used)


def _noise(curves: Sequence[_Curve]) -> Vector:
    """The residuals of all curves, as large as the noise was: empty where no curve has any.

    A parabola takes up part of the noise, which sqrt(runs / (runs - 3)) gives back. How large the
    noise is, is known no better than from so many residuals, so that the draws are as much wider as
    Student's 97.5 % quantile is beyond the normal one's.
    """
    free = [curve for curve in curves if curve.freedom > 0]
    if not free:
        return np.array([])
    freedom = sum(curve.freedom for curve in free)
    wider = stdtrit(freedom, PERCENTILES[1] / 100) / ndtri(PERCENTILES[1] / 100)
    scaled = [
        curve.residuals * np.sqrt(len(curve.residuals) / curve.freedom) * wider for curve in free
    ]
    return np.concatenate(scaled)


def _drawn_minimum(curve: _Curve, noise: Vector, rng: np.random.Generator) -> Minimum | None:
    """The minimum of a budget whose runs got other noise."""
    losses = np.exp(curve.expected + rng.choice(noise, len(curve.runs)))
    drawn = zip(curve.runs, losses, strict=True)
    return find_minimum([replace(run, loss=float(loss)) for run, loss in drawn])


def _intervals(
    found: Sequence[dict[str, float]], drawn: int, same_budgets: int | None = None
) -> Intervals:
    if drawn == 0 or len(found) < MIN_USED * drawn:
        return Intervals(None, drawn, len(found), same_budgets, _too_few(drawn, len(found)))
    ci95 = {
        name: [float(x) for x in np.percentile([one[name] for one in found], PERCENTILES)]
        for name in found[0]
    }
    return Intervals(ci95, drawn, len(found), same_budgets)


def _too_few(drawn: int, used: int) -> str:
    if drawn == 0:
        return "no draws were asked for"
    return f"only {used} of {drawn} draws gave a law: the runs are too few or too alike"
