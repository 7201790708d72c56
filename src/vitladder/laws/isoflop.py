"""IsoFLOP curves: the best size of each budget, and how it grows with compute.

Hoffmann et al. 2022 (arXiv:2203.15556), section 3.2, approach 2.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vitladder.laws.forms import Vector
from vitladder.laws.study import RunPoint, budgets

MIN_SIZES = 3  # a parabola has three coefficients
REACH = 2  # sizes on each side of the lowest that the parabola may use
NEAR = 0.25  # of log loss above the lowest: sizes beyond the neighbours are used only up to here
FLAT = 1e-9  # curvature below this is a line


@dataclass(frozen=True)
class Minimum:
    """The lowest point of one budget's curve.

    At an edge (`edge`, with its `reason`) it is the lowest run, not a minimum, and no law uses it.
    `parabola` holds the coefficients of log loss in log N, highest power first, valid on `span`;
    it was fitted to `sizes_used` sizes, and goes exactly through them where those are three.
    """

    budget: float
    flops: float
    n_params: float
    images: float
    loss: float
    edge: bool
    reason: str | None = None
    parabola: tuple[float, float, float] | None = None
    span: tuple[float, float] | None = None
    sizes_used: int = 0


@dataclass(frozen=True)
class PowerLaw:
    """value = k C^exponent."""

    k: float
    exponent: float

    def at(self, flops: Vector) -> Vector:
        """The value at each C."""
        value: Vector = self.k * flops**self.exponent
        return value


@dataclass(frozen=True)
class _Curve:
    """One budget's runs by size (ascending): logs of N, of images and of loss, seeds averaged."""

    log_n: Vector
    log_d: Vector
    log_loss: Vector


def find_minima(runs: Sequence[RunPoint]) -> list[Minimum]:
    """The minimum of each budget with at least three sizes, budgets ascending."""
    found = (find_minimum(group) for group in budgets(runs))
    return [minimum for minimum in found if minimum is not None]


def find_minimum(group: Sequence[RunPoint]) -> Minimum | None:
    """The minimum of one budget's curve, or None where fewer than three sizes were run.

    A parabola of log loss in log N is fitted by least squares to the lowest size, its neighbours
    however far above it, and the next ones while their log loss is within 0.25 of it. Images are
    interpolated at N* between the budget's runs (log-log). An edge is named where the lowest size
    is the first or last one, the parabola opens downward, or its vertex lies outside of the sizes
    it was fitted to.
    """
    curve = _curve(group)
    if len(curve.log_n) < MIN_SIZES:
        return None
    lowest = int(np.argmin(curve.log_loss))
    if lowest in (0, len(curve.log_n) - 1):
        side = "smallest" if lowest == 0 else "largest"
        return _edge(group, curve, lowest, f"the {side} size is the lowest")
    near = _near(curve.log_loss, lowest)
    x, y = curve.log_n[near], curve.log_loss[near]
    centre = x[0]
    square, slope, level = (float(c) for c in np.polyfit(x - centre, y, 2))
    if square <= FLAT:
        return _edge(group, curve, lowest, "the parabola opens downward")
    vertex = centre - slope / (2 * square)
    if not x[0] < vertex < x[-1]:
        return _edge(group, curve, lowest, "the parabola's vertex lies outside of the sizes run")
    return Minimum(
        budget=_mean_in_logs([run.budget for run in group]),
        flops=_mean_in_logs([run.flops for run in group]),
        n_params=float(np.exp(vertex)),
        images=float(np.exp(np.interp(vertex, curve.log_n, curve.log_d))),
        loss=float(np.exp(level - slope**2 / (4 * square))),
        edge=False,
        parabola=_uncentred(square, slope, level, float(centre)),
        span=(float(np.exp(x[0])), float(np.exp(x[-1]))),
        sizes_used=len(x),
    )


def fit_power_law(flops: Vector, value: Vector) -> PowerLaw | None:
    """value = k C^exponent by least squares in logs, or None with fewer than two different C."""
    if len(flops) < 2 or np.ptp(np.log(flops)) == 0:
        return None
    exponent, log_k = np.polyfit(np.log(flops), np.log(value), 1)
    return PowerLaw(k=float(np.exp(log_k)), exponent=float(exponent))


def size_and_data_laws(minima: Sequence[Minimum]) -> tuple[PowerLaw | None, PowerLaw | None]:
    """N* = k C^a and D* = k' C^b over the interior minima, or None with fewer than two."""
    interior = [minimum for minimum in minima if not minimum.edge]
    flops = np.array([minimum.flops for minimum in interior])
    sizes = np.array([minimum.n_params for minimum in interior])
    images = np.array([minimum.images for minimum in interior])
    return fit_power_law(flops, sizes), fit_power_law(flops, images)


def _curve(group: Sequence[RunPoint]) -> _Curve:
    by_size: dict[float, list[RunPoint]] = defaultdict(list)
    for run in group:
        by_size[run.n_params].append(run)
    sizes = sorted(by_size)
    return _Curve(
        log_n=np.log(sizes),
        log_d=np.array([np.mean([np.log(run.images) for run in by_size[n]]) for n in sizes]),
        log_loss=np.array([np.mean([np.log(run.loss) for run in by_size[n]]) for n in sizes]),
    )


def _near(log_loss: Vector, lowest: int) -> slice:
    """The sizes around the lowest that lie on the parabola's part of the curve."""
    first, last = lowest - 1, lowest + 1
    while first > max(0, lowest - REACH) and log_loss[first - 1] < log_loss[lowest] + NEAR:
        first -= 1
    end = min(len(log_loss) - 1, lowest + REACH)
    while last < end and log_loss[last + 1] < log_loss[lowest] + NEAR:
        last += 1
    return slice(first, last + 1)


def _edge(group: Sequence[RunPoint], curve: _Curve, lowest: int, reason: str) -> Minimum:
    return Minimum(
        budget=_mean_in_logs([run.budget for run in group]),
        flops=_mean_in_logs([run.flops for run in group]),
        n_params=float(np.exp(curve.log_n[lowest])),
        images=float(np.exp(curve.log_d[lowest])),
        loss=float(np.exp(curve.log_loss[lowest])),
        edge=True,
        reason=reason,
    )


def _uncentred(square: float, slope: float, level: float, at: float) -> tuple[float, float, float]:
    """The coefficients in x of square (x - at)^2 + slope (x - at) + level."""
    return square, slope - 2 * square * at, level - slope * at + square * at**2


def _mean_in_logs(values: Sequence[float]) -> float:
    return float(np.exp(np.mean(np.log(values))))
