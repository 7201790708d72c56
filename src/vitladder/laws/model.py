"""The contract between a law's formula and the fitter: predictions, and derivatives in batches.

The fitter works on theta, in which coefficients are logs (so that they stay positive) and columns
are centred (so that coefficients and exponents can be told apart by the numbers); a law's own
letters are its natural parameters. A term whose coefficient is zero has a log of `newton.GONE`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vitladder.laws.criterion import Criterion, Matrix, Vector
from vitladder.laws.newton import Floors, Local, Objective

CACHE = 1 << 16  # numbers of an array that a chunk of fits works on: several stay in a core's cache


class Model(Protocol):
    """A law at given rows: theta is [fits, P], rows are those of the columns it was made of."""

    @property
    def size(self) -> int:
        """P, the number of parameters."""

    def log_prediction(self, theta: Matrix) -> Matrix:
        """The log of the predicted loss [fits, rows]."""

    def at(self, theta: Matrix) -> Place:
        """The prediction, and what is needed to differentiate sums over rows there."""

    def starts(self, target: Vector) -> Matrix:
        """Thetas [starts, P] over the plausible exponents, their coefficients fitted to target."""

    def floors(self, target: Vector) -> Floors:
        """Below which theta a coefficient counts as zero, for losses like target [rows]."""


class Place(Protocol):
    """g = log prediction at some thetas, and its derivatives."""

    @property
    def log_prediction(self) -> Matrix:
        """g [fits, rows]."""

    def gradient(self, pull: Matrix) -> Matrix:
        """The sum over rows of pull * dg/dtheta: [fits, P] of [fits, rows]."""

    def hessian(self, curve: Matrix, pull: Matrix) -> NDArray[np.float64]:
        """The sum over rows of curve * (dg/dtheta)(dg/dtheta)^T - pull * d2g/dtheta2."""

    def outer(self, weight: Matrix) -> NDArray[np.float64]:
        """The sum over rows of weight * (dg/dtheta)(dg/dtheta)^T: [fits, P, P]."""

    def jacobian(self) -> NDArray[np.float64]:
        """dg/dtheta [fits, P, rows]."""


@dataclass(frozen=True)
class Rows:
    """What a criterion compares: a model at rows, their losses [rows], their weights [fits, rows].

    Weights of a single row [1, rows] serve every fit.
    """

    model: Model
    target: Vector
    weights: Matrix

    def objective(self, criterion: Criterion, turn: float) -> Objective:
        """The criterion with its turn at `turn`, divided by what makes it about 1 a row."""
        scale = max(1.0, float(self.weights[0].sum())) * criterion.steepest
        if criterion.loss == "huber":
            scale *= min(turn, criterion.unit) / min(criterion.delta, criterion.unit)

        def local(theta: Matrix, fits: NDArray[np.intp]) -> Local:
            chunk = max(1, CACHE // len(self.target))
            parts = []
            for first in range(0, len(theta), chunk):
                some = fits[first : first + chunk]
                weights = self.weights if len(self.weights) == 1 else self.weights[some]
                parts.append(self._local(theta[first : first + chunk], weights, criterion, turn))
            return Local(*(np.concatenate(part) / scale for part in zip(*parts, strict=True)))

        return local

    def objectives(self, criterion: Criterion, widest: float = np.inf) -> list[Objective]:
        """The criterion's approach to its own form, from turns below the widest."""
        turns = [turn for turn in criterion.approach()[:-1] if turn < widest] + [criterion.turn]
        return [self.objective(criterion, turn) for turn in turns]

    def _local(self, theta: Matrix, weights: Matrix, criterion: Criterion, turn: float) -> Local:
        """Value, gradient, exact Hessian and majorant of the sum over rows of rho(residual).

        With g = log f: for log residuals d2(rho) = rho'' g' g'^T - rho' g''; for linear ones
        f' = f g' and f'' = f (g'' + g' g'^T).
        """
        at = self.model.at(theta)
        g = at.log_prediction
        rho = criterion.smooth(criterion.residuals(self.target, g), turn)
        value = (weights * rho.value).sum(axis=1)
        pull, curve, majorant = (part * weights for part in rho[1:])
        if criterion.residual == "linear":
            f = np.exp(g)
            pull *= f
            curve *= f * f
            curve -= pull
            majorant *= f * f
        return Local(value, -at.gradient(pull), at.hessian(curve, pull), at.outer(majorant))
