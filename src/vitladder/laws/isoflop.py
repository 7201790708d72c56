"""IsoFLOP curves: the best size of each budget, and how it grows with compute.

Hoffmann et al. 2022 (arXiv:2203.15556), section 3.2, approach 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.interpolate import Akima1DInterpolator

from vitladder.laws.forms import Vector
from vitladder.laws.study import RunPoint, budgets

MIN_SIZES = 3  # a parabola has three coefficients
REACH = 2  # sizes on each side of the lowest that the parabola may use
NEAR = 0.25  # of log loss above the lowest: sizes beyond the neighbours are used only up to here
SAME_SIZE = 1.01
AKIMA_POINTS = 2001  # where the interpolation is looked at: in log N
FLAT = 1e-9  # curvature below this is a line


@dataclass(frozen=True)
class Minimum:
    """The lowest point of one budget's curve: C in FLOPs, N, D in images, validation loss in nats.

    At an edge (`edge`, with its `reason`) it is the lowest run, not a minimum, and no law uses it.
    `parabola` holds the coefficients of log loss in log N, highest power first, valid on `span`
    (the smallest and the largest N that it was fitted to); it was fitted to `sizes_used` sizes, and
    goes exactly through them where those are three. `akima` is the lowest point (N, D, loss) of
    Akima's interpolation of log loss over log N through the same sizes.
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
    akima: tuple[float, float, float] | None = None


@dataclass(frozen=True)
class PowerLaw:
    """value = k C^exponent, C in FLOPs: Hoffmann et al.'s N* ~ C^a and D* ~ C^b."""

    k: float
    exponent: float

    def at(self, flops: Vector) -> Vector:
        """The value (parameters or images) at each C in FLOPs."""
        value: Vector = self.k * flops**self.exponent
        return value


@dataclass(frozen=True)
class SizeCurve:
    """One budget's runs by size (ascending): N, and the mean logs of images and loss over seeds."""

    n_params: Vector
    log_d: Vector
    log_loss: Vector

    @property
    def log_n(self) -> Vector:
        """The logs of N."""
        logs: Vector = np.log(self.n_params)
        return logs


@dataclass(frozen=True)
class _Parabola:
    """log loss = square x^2 + slope x + level at x = log N - centre, fitted to `sizes` (N)."""

    square: float
    slope: float
    level: float
    centre: float
    sizes: Vector

    @property
    def log_n(self) -> float:
        """Where its vertex lies."""
        return self.centre - self.slope / (2 * self.square)

    @property
    def log_loss(self) -> float:
        """How high its vertex lies."""
        return self.level - self.slope**2 / (4 * self.square)

    @property
    def coefficients(self) -> tuple[float, float, float]:
        """In log N itself, highest power first."""
        square, slope, at = self.square, self.slope, self.centre
        return square, slope - 2 * square * at, self.level - slope * at + square * at**2


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
    curve = size_curve(group)
    if len(curve.n_params) < MIN_SIZES:
        return None
    fitted = _parabola(curve)
    return _edge(group, curve, fitted) if isinstance(fitted, str) else _vertex(group, curve, fitted)


def fit_power_law(flops: Vector, value: Vector) -> PowerLaw | None:
    """value = k C^exponent by least squares in logs, or None with fewer than two different C.

    `flops` and `value`: [minima], positive; the value is in parameters or in images.
    """
    if len(flops) < 2 or flops.min() == flops.max():
        return None
    x, y = np.log(flops), np.log(value)
    off = x - x.mean()
    exponent = float(off @ y / (off @ off))
    return PowerLaw(k=float(np.exp(y.mean() - exponent * x.mean())), exponent=exponent)


def size_and_data_laws(minima: Sequence[Minimum]) -> tuple[PowerLaw | None, PowerLaw | None]:
    """N* = k C^a and D* = k' C^b over the interior minima, or None with fewer than two."""
    interior = [minimum for minimum in minima if not minimum.edge]
    flops = np.array([minimum.flops for minimum in interior])
    sizes = np.array([minimum.n_params for minimum in interior])
    images = np.array([minimum.images for minimum in interior])
    return fit_power_law(flops, sizes), fit_power_law(flops, images)


def akima_laws(minima: Sequence[Minimum]) -> tuple[PowerLaw | None, PowerLaw | None]:
    """N* and D* over C through the interpolated minima, or None with fewer than two."""
    inner = [(one.flops, *one.akima) for one in minima if not one.edge and one.akima is not None]
    flops, sizes, images, _ = np.array(inner).reshape(-1, 4).T
    return fit_power_law(flops, sizes), fit_power_law(flops, images)


def size_curve(group: Sequence[RunPoint]) -> SizeCurve:
    """One budget's runs by size, over seeds; sizes within 1 % of the smallest are one size."""
    by_size: list[list[RunPoint]] = []
    for run in sorted(group, key=lambda run: run.n_params):
        if by_size and run.n_params <= by_size[-1][0].n_params * SAME_SIZE:
            by_size[-1].append(run)
        else:
            by_size.append([run])
    return SizeCurve(
        n_params=np.array([_mean_in_logs([run.n_params for run in runs]) for runs in by_size]),
        log_d=np.array([np.mean([np.log(run.images) for run in runs]) for runs in by_size]),
        log_loss=np.array([np.mean([np.log(run.loss) for run in runs]) for runs in by_size]),
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


def _parabola(curve: SizeCurve) -> _Parabola | str:
    """The parabola around the lowest size, or why it has no minimum between its sizes."""
    lowest = int(np.argmin(curve.log_loss))
    if lowest in (0, len(curve.log_loss) - 1):
        return f"the {'smallest' if lowest == 0 else 'largest'} size is the lowest"
    near = _near(curve.log_loss, lowest)
    log_n = curve.log_n[near]
    centre = float(log_n[0])  # x counts from here, so that the least squares are well scaled
    square, slope, level = (float(c) for c in np.polyfit(log_n - centre, curve.log_loss[near], 2))
    if square <= FLAT:
        return "the parabola opens downward"
    parabola = _Parabola(square, slope, level, centre, curve.n_params[near])
    if not log_n[0] < parabola.log_n < log_n[-1]:
        return "the parabola's vertex lies outside of the sizes run"
    return parabola


def _vertex(group: Sequence[RunPoint], curve: SizeCurve, parabola: _Parabola) -> Minimum:
    """The interior minimum, at the parabola's vertex."""
    return Minimum(
        budget=_mean_in_logs([run.budget for run in group]),
        flops=_mean_in_logs([run.flops for run in group]),
        n_params=float(np.exp(parabola.log_n)),
        images=float(np.exp(np.interp(parabola.log_n, curve.log_n, curve.log_d))),
        loss=float(np.exp(parabola.log_loss)),
        edge=False,
        parabola=parabola.coefficients,
        span=(float(parabola.sizes[0]), float(parabola.sizes[-1])),
        sizes_used=len(parabola.sizes),
        akima=_akima(curve),
    )


def _akima(curve: SizeCurve) -> tuple[float, float, float]:
    """The lowest point of Akima's interpolation (Akima 1970) through all sizes: N, D, loss."""
    log_n = np.linspace(curve.log_n[0], curve.log_n[-1], AKIMA_POINTS)
    log_loss = Akima1DInterpolator(curve.log_n, curve.log_loss)(log_n)
    lowest = int(np.argmin(log_loss))
    log_d = np.interp(log_n[lowest], curve.log_n, curve.log_d)
    return float(np.exp(log_n[lowest])), float(np.exp(log_d)), float(np.exp(log_loss[lowest]))


def _edge(group: Sequence[RunPoint], curve: SizeCurve, reason: str) -> Minimum:
    """The lowest size, where the curve has no interior minimum."""
    lowest = int(np.argmin(curve.log_loss))
    return Minimum(
        budget=_mean_in_logs([run.budget for run in group]),
        flops=_mean_in_logs([run.flops for run in group]),
        n_params=float(curve.n_params[lowest]),
        images=float(np.exp(curve.log_d[lowest])),
        loss=float(np.exp(curve.log_loss[lowest])),
        edge=True,
        reason=reason,
    )


def _mean_in_logs(values: Sequence[float]) -> float:
    return float(np.exp(np.mean(np.log(values))))
