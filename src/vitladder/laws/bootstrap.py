"""How sure the IsoFLOP law is: 95 % intervals from residuals drawn again.

Residuals are drawn instead of runs (Davison & Hinkley 1997, section 6.2.3): a parabola needs its
sizes, so drawing runs would measure what losing a size does and not what noise does. Each draw adds
residuals of the fitted parabolas, pooled over the budgets, to all runs and finds the minima again.
Budgets whose minimum is at an edge have no parabola and take no part; a budget may lose its minimum
in a draw, which is counted. A draw that determines no law is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtrit

from vitladder.laws.criterion import Matrix, Vector
from vitladder.laws.isoflop import (
    FLAT,
    MIN_SIZES,
    NEAR,
    REACH,
    Minimum,
    SizeCurve,
    find_minimum,
    size_curve,
)
from vitladder.laws.resample import MIN_USED, PERCENTILES, interval, spread
from vitladder.laws.study import RunPoint, budgets

NO_RESIDUALS = (
    "each parabola goes exactly through its runs, so that nothing tells their noise: "
    "run a fourth size or a second seed"
)


@dataclass(frozen=True)
class Intervals:
    """95 % intervals and standard errors by name (None, with the reason, where there are none).

    `used` of the `drawn` draws gave a law; in `same_budgets` of them every budget of the law kept
    its interior minimum.
    """

    ci95: dict[str, list[float]] | None
    drawn: int
    used: int
    same_budgets: int
    se: dict[str, float] | None = None
    reason: str | None = None


@dataclass(frozen=True)
class _Fitted:
    """One budget's runs, the log loss that its parabola expects of each, and which it used.

    Runs of sizes beside the parabola's are expected at their size's own mean.
    """

    minimum: Minimum
    curve: SizeCurve
    size: NDArray[np.intp]  # each run's index into the curve's sizes
    log_loss: Vector
    expected: Vector
    used: NDArray[np.bool_]

    @property
    def residuals(self) -> Vector:
        """Log measured - log expected loss of the used runs."""
        return self.log_loss[self.used] - self.expected[self.used]

    @property
    def freedom(self) -> int:
        """The used runs beyond the parabola's three coefficients."""
        return len(self.residuals) - MIN_SIZES


def isoflop_intervals(runs: Sequence[RunPoint], drawn: int, seed: int) -> Intervals:
    """Intervals for a and k of N* = k C^a, b and k' of D*, through the runs' interior minima."""
    curves = [curve for group in budgets(runs) if (curve := _fitted(group)) is not None]
    noise = _noise(curves)
    if len(noise) == 0 or drawn == 0:
        reason = NO_RESIDUALS if len(noise) == 0 else "no draws were asked for"
        return Intervals(None, drawn, used=0, same_budgets=0, reason=reason)
    rng = np.random.default_rng(seed)
    log_n, log_d = zip(*(_drawn_optima(curve, noise, drawn, rng) for curve in curves), strict=True)
    log_c = np.log([curve.minimum.flops for curve in curves])
    kept = np.isfinite(log_n).sum(axis=0)
    a, k = _power_laws(log_c, np.array(log_n))
    b, k_images = _power_laws(log_c, np.array(log_d))
    exponents = {"a": a, "k": k, "b": b, "k_images": k_images}
    used = (kept >= 2) & np.isfinite(exponents["a"])
    exponents = {name: values[used] for name, values in exponents.items()}
    count, same = int(used.sum()), int((used & (kept == len(curves))).sum())
    if count < MIN_USED * drawn:
        reason = f"only {count} of {drawn} draws gave a law: the runs are too few or too alike"
        return Intervals(None, drawn, count, same, reason=reason)
    ci95 = {name: interval(values) for name, values in exponents.items()}
    se = {name: spread(values) for name, values in exponents.items()}
    return Intervals(ci95, drawn, count, same, se)


def _fitted(group: Sequence[RunPoint]) -> _Fitted | None:
    """One budget's runs around its parabola, or None without an interior minimum."""
    minimum = find_minimum(group)
    if minimum is None or minimum.parabola is None or minimum.span is None:
        return None
    curve = size_curve(group)
    n_params, log_loss = np.array([(run.n_params, np.log(run.loss)) for run in group]).T
    size = np.abs(np.log(n_params)[:, None] - curve.log_n).argmin(axis=1)
    low, high = minimum.span
    used = (low <= curve.n_params[size]) & (curve.n_params[size] <= high)
    own_mean = curve.log_loss[size]
    expected = np.where(used, np.polyval(minimum.parabola, np.log(n_params)), own_mean)
    return _Fitted(minimum, curve, size, log_loss, expected, used)


def _noise(curves: Sequence[_Fitted]) -> Vector:
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


def _drawn_optima(
    fitted: _Fitted, noise: Vector, drawn: int, rng: np.random.Generator
) -> tuple[Vector, Vector]:
    """Log N* and log D* of a budget whose runs got other noise [drawn]; nan where at an edge."""
    losses = fitted.expected + rng.choice(noise, (drawn, len(fitted.expected)))
    sizes = len(fitted.curve.n_params)
    mean = np.stack([losses[:, fitted.size == k].mean(axis=1) for k in range(sizes)], axis=1)
    log_n = drawn_vertices(fitted.curve.log_n, mean)
    log_d = np.interp(log_n, fitted.curve.log_n, fitted.curve.log_d)
    return log_n, np.where(np.isfinite(log_n), log_d, np.nan)


def drawn_vertices(log_n: Vector, log_loss: Matrix) -> Vector:
    """Where `isoflop.find_minimum` puts each draw's vertex [drawn]; nan where it names an edge.

    `log_n`: [sizes], ascending; `log_loss`: [drawn, sizes].
    """
    lowest = log_loss.argmin(axis=1)
    first, last = _windows(log_loss, lowest)
    inner = (lowest > 0) & (lowest < len(log_n) - 1)
    found = np.full(len(log_loss), np.nan)
    for low, high in sorted(set(zip(first[inner].tolist(), last[inner].tolist(), strict=True))):
        rows = np.flatnonzero(inner & (first == low) & (last == high))
        x = log_n[low : high + 1] - log_n[low]
        square, slope, _ = np.polyfit(x, log_loss[rows, low : high + 1].T, 2)
        with np.errstate(divide="ignore", invalid="ignore"):
            vertex = -slope / (2 * square)
        inside = (square > FLAT) & (vertex > 0) & (vertex < x[-1])
        found[rows[inside]] = log_n[low] + vertex[inside]
    return found


def _windows(
    log_loss: Matrix, lowest: NDArray[np.intp]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The first and the last size of each draw's parabola, by the rule of `isoflop.near`."""
    draws, sizes = log_loss.shape
    limit = log_loss[np.arange(draws), lowest] + NEAR
    first, last = lowest - 1, lowest + 1
    for _ in range(REACH - 1):
        further = np.maximum(first - 1, 0)
        first = np.where(
            (first - 1 >= np.maximum(0, lowest - REACH))
            & (log_loss[np.arange(draws), further] < limit),
            first - 1,
            first,
        )
        further = np.minimum(last + 1, sizes - 1)
        last = np.where(
            (last + 1 <= np.minimum(sizes - 1, lowest + REACH))
            & (log_loss[np.arange(draws), further] < limit),
            last + 1,
            last,
        )
    return first, last


def _power_laws(log_c: Vector, values: Matrix) -> tuple[Vector, Vector]:
    """Exponent and coefficient of each draw's values = log(k C^a) [budgets, drawn], without nan."""
    there = np.isfinite(values)
    count = np.maximum(there.sum(axis=0), 1)
    x = np.where(there, log_c[:, None], 0.0)
    y = np.where(there, values, 0.0)
    middle, height = x.sum(axis=0) / count, y.sum(axis=0) / count
    x = np.where(there, x - middle, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        exponent = (x * y).sum(axis=0) / (x * x).sum(axis=0)
    return exponent, np.exp(height - exponent * middle)
