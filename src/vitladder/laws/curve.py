"""Laws of one column that are no sum of power laws: from log f and its gradient to a model.

The Hessian of a sum over rows is the derivative of its gradient, by complex steps (Squire & Trapp
1998): Im(gradient(theta + i h e_j)) / h, exact to rounding, so that a law has to state its formula
and its gradient alone, in functions that take complex numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from vitladder.laws.criterion import Matrix, Vector
from vitladder.laws.newton import Floors

STEP = 1e-30  # of the complex steps: its square vanishes

Numbers = NDArray[np.inexact[Any]]


class Formula(Protocol):
    """A law of one column: u = log x, centred [rows]; theta [fits, P], real or complex."""

    def solve(self, theta: Matrix, u: Vector) -> Vector | None:
        """What an implicit law has to solve for, at real theta [fits, rows]; None if explicit."""

    def log_value(self, theta: Matrix, u: Vector, solved: Vector | None) -> Matrix:
        """Log f [fits, rows]."""

    def log_gradient(self, theta: Numbers, u: Vector, solved: Vector | None) -> Numbers:
        """d log f / d theta [fits, P, rows]."""

    def curve_starts(self, u: Vector, target: Vector) -> Matrix:
        """Thetas to start from [starts, P]."""

    def curve_floors(self, u: Vector, target: Vector) -> Floors:
        """Below which theta a positive parameter counts as zero."""


@dataclass(frozen=True)
class Curve:
    """The model (see `model.Model`) of a formula of `size` parameters at u [rows]."""

    formula: Formula
    size: int
    u: Vector

    def log_prediction(self, theta: Matrix) -> Matrix:
        """Log f [fits, rows]."""
        return self.at(theta).log_prediction

    def at(self, theta: Matrix) -> CurvePlace:
        """Log f; derivatives as they are asked for."""
        solved = self.formula.solve(theta, self.u)
        return CurvePlace(self, theta, solved, self.formula.log_value(theta, self.u, solved))

    def starts(self, target: Vector) -> Matrix:
        """The formula's own."""
        return self.formula.curve_starts(self.u, target)

    def floors(self, target: Vector) -> Floors:
        """The formula's own."""
        return self.formula.curve_floors(self.u, target)


@dataclass(frozen=True)
class CurvePlace:
    """See `model.Place`."""

    model: Curve
    theta: Matrix
    solved: Vector | None
    log_prediction: Matrix

    @cached_property
    def slopes(self) -> NDArray[np.float64]:
        """d log f / d theta [fits, P, rows]."""
        slopes = self.model.formula.log_gradient(self.theta, self.model.u, self.solved)
        return np.asarray(np.real(slopes))

    def gradient(self, pull: Matrix) -> Matrix:
        """The sum over rows of pull * slopes."""
        return np.asarray((self.slopes @ pull[:, :, None])[:, :, 0])

    def hessian(self, curve: Matrix, pull: Matrix) -> NDArray[np.float64]:
        """The sum over rows of curve * slopes slopes^T - pull * d slopes / d theta."""
        total, formula = self.outer(curve), self.model.formula
        for index in range(self.model.size):
            moved = self.theta.astype(np.complex128)
            moved[:, index] += 1j * STEP
            bent = np.imag(formula.log_gradient(moved, self.model.u, self.solved)) / STEP
            total[:, :, index] -= (bent @ pull[:, :, None])[:, :, 0]
        return np.asarray((total + np.swapaxes(total, 1, 2)) / 2)

    def outer(self, weight: Matrix) -> NDArray[np.float64]:
        """The sum over rows of weight * slopes slopes^T."""
        return np.asarray((self.slopes * weight[:, None]) @ np.swapaxes(self.slopes, 1, 2))

    def jacobian(self) -> NDArray[np.float64]:
        """The slopes themselves."""
        return self.slopes


def two_part_starts(
    part: Callable[[Vector], Vector], grid: Sequence[Vector], target: Vector
) -> list[tuple[float, float, Vector]]:
    """Starts of c + a part(point) over a grid of points: (log c, log a, point) each.

    Variable projection: at a point, c, a >= 0 of least squared relative error are a linear problem.
    """
    found = []
    for point in product(*grid):
        at = np.array(point)
        basis = np.stack([np.ones_like(target), part(at)], axis=1)
        size = basis[:, 1].max()
        basis[:, 1] /= size
        c, a = nnls(basis / target[:, None], np.ones_like(target))[0]
        least = 1e-3 * float(target.min())
        found.append((float(np.log(max(c, least))), float(np.log(max(a, least) / size)), at))
    return found


def log1p_exp(x: Numbers) -> Numbers:
    """log(1 + e^x), for real or complex x, without overflow."""
    positive = np.real(x) > 0
    return np.asarray(np.log1p(np.exp(np.where(positive, -x, x))) + np.where(positive, x, 0))


def sigmoid(x: Numbers) -> Numbers:
    """1 / (1 + e^-x), for real or complex x, without overflow."""
    positive = np.real(x) > 0
    small = np.exp(np.where(positive, -x, x))
    return np.asarray(np.where(positive, 1, small) / (1 + small))
