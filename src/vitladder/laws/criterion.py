"""What a fit minimises: the sum over rows of Huber's loss, absolute or squared residuals.

Huber's loss (Huber 1964) is r^2/2 up to delta and delta (|r| - delta/2) beyond. Least absolute
deviation (LAD) has no gradient where a residual is 0, so that the descent takes sqrt(r^2 + turn^2)
with a turn that falls to 1e-10, and the objective that is reported is the exact sum of |r|.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

LossName = Literal["huber", "lad", "ls"]
Residual = Literal["log", "linear"]
DELTA = 1e-3  # Hoffmann et al. 2022, section 3.3
LAD_DELTA = 1e-10
WIDE = 1e-1  # a delta from which Huber's loss of usual losses is nearly least squares


class Smooth(NamedTuple):
    """A loss of residuals r: its value, derivative, second derivative, and derivative over r.

    Parabolas of the last one's curvature lie above the loss wherever they touch it (de Leeuw &
    Lange 2009), so that a step by it is never too far.
    """

    value: Matrix
    pull: Matrix
    curve: Matrix
    majorant: Matrix


@dataclass(frozen=True)
class Criterion:
    """Which loss of which residual: log(measured) - log(predicted), or measured - predicted.

    `delta` is Huber's, in units of the residual; the other losses have none. `unit` is about how
    large what residuals are of is: 1 for logs, the typical loss for linear ones.
    """

    loss: LossName = "huber"
    delta: float = DELTA
    residual: Residual = "log"
    unit: float = 1.0

    def of(self, target: Vector) -> Criterion:
        """The criterion for losses like these."""
        if self.residual == "log" or not len(target):
            return self
        return replace(self, unit=float(np.exp(np.log(target).mean())))

    @property
    def steepest(self) -> float:
        """About how large one row's gradient in logs of parameters can be."""
        pull = {"huber": min(self.delta, self.unit), "lad": 1.0, "ls": self.unit}[self.loss]
        return pull * self.unit

    def __str__(self) -> str:
        """In words, for outputs: the delta is always said."""
        named = {"huber": f"Huber({self.delta:g})", "lad": "absolute", "ls": "squared / 2"}
        what = "log(measured) - log(predicted)" if self.residual == "log" else "measured-predicted"
        return f"sum over rows of {named[self.loss]} of {what}"

    @property
    def turn(self) -> float:
        """The |residual| at which the loss that is descended turns from square to linear."""
        return {"huber": self.delta, "lad": LAD_DELTA * self.unit, "ls": np.inf}[self.loss]

    def approach(self) -> list[float]:
        """The turns to descend through, ending at this criterion's: wide ones are nearly convex."""
        if self.loss == "ls":
            return [np.inf]
        step = 0.1 if self.loss == "huber" else 0.25
        wide = WIDE * self.unit
        count = max(0, int(np.ceil(np.log(self.turn / wide) / np.log(step) - 1e-9)))
        return [*(wide * step**power for power in range(count)), self.turn]

    def total(self, residuals: Matrix, weights: Matrix) -> Vector:
        """The exact objective, summed over rows: [fits] from [fits, rows]."""
        size = np.abs(residuals)
        if self.loss == "lad":
            return np.asarray((weights * size).sum(axis=-1))
        within = np.minimum(size, self.turn)
        return np.asarray((weights * within * (size - within / 2)).sum(axis=-1))

    def smooth(self, residuals: Matrix, turn: float) -> Smooth:
        """The loss that is descended, at each residual."""
        if self.loss == "lad":
            root = np.sqrt(residuals * residuals + turn * turn)
            pull = residuals / root
            return Smooth(root, pull, (1 - pull * pull) / root, 1 / root)
        size = np.abs(residuals)
        within = np.minimum(size, turn)
        pull = np.clip(residuals, -turn, turn)
        curve = (size <= turn).astype(np.float64)
        return Smooth(within * (size - within / 2), pull, curve, _ratio(within, size))

    def residuals(self, target: Vector, log_prediction: Matrix) -> Matrix:
        """Measured [rows] against predicted [fits, rows], in this criterion's residual."""
        if self.residual == "log":
            return np.asarray(np.log(target) - log_prediction)
        return np.asarray(target - np.exp(log_prediction))


def _ratio(within: Matrix, size: Matrix) -> Matrix:
    """within / size, and 1 where both are 0."""
    return np.divide(within, size, out=np.ones_like(size), where=size > 0)
