"""A law's best fit to rows: many starts, the second-order way down, and how sure that is.

Starts come from a grid of exponents by variable projection; the best are refined together while the
criterion approaches its own form from a nearly convex one, to rounding. Stopping early, as
L-BFGS-B's default tolerances do, moves the parameters visibly (Besiroglu et al. 2024,
arXiv:2404.10102).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import lsq_linear

from vitladder.laws.criterion import Criterion, Matrix, Vector
from vitladder.laws.law import Law, NoLaw
from vitladder.laws.model import Rows
from vitladder.laws.newton import GONE, descend, minimise

AGREE = 1e-9  # relative to the lowest objective: starts within it found the same optimum
LONGEST = 2000  # steps of the best start
EXACT = 1e-24  # objectives below this a row are zero but for rounding
TOUCHING = 1e-7  # residuals below it count as 0 in the optimality of least absolute deviation
ILL_CONDITIONED = 1e4  # two parameters cannot be told apart beyond it
SAME = 1e-9  # of log losses: smaller differences are rounding
FLAT_GRADIENT = 1e-6  # of the largest gradient that a criterion can have
SLOPE_STEP = 1e-6
SINGULAR = 1e16  # condition numbers are not told apart beyond it


@dataclass(frozen=True)
class Problem:
    """A law, and the rows that it is fitted to: columns [inputs, rows], losses [rows]."""

    law: Law
    columns: Matrix
    target: Vector
    asked: Criterion

    @cached_property
    def criterion(self) -> Criterion:
        """The criterion as it was asked for, told how large these losses are."""
        return self.asked.of(self.target)

    @cached_property
    def centres(self) -> Vector:
        """The means of the columns' logs."""
        return np.asarray(np.log(self.columns).mean(axis=1))

    @property
    def reach(self) -> Matrix:
        """The smallest and the largest value of each column [inputs, 2]."""
        return np.stack([self.columns.min(axis=1), self.columns.max(axis=1)], axis=1)

    def logs(self, columns: Matrix) -> Matrix:
        """Logs of columns, centred as this problem's are."""
        return np.asarray(np.log(columns) - self.centres[:, None])

    def rows(self, weights: Matrix | None = None) -> Rows:
        """The model at the rows, each counted `weights` times (once, if not given)."""
        ones = np.ones((1, len(self.target)))
        model = self.law.model(self.logs(self.columns))
        return Rows(model, self.target, ones if weights is None else weights)


@dataclass(frozen=True)
class Optimum:
    """The best parameters found: `objective` is the exact sum over rows.

    `gradient_norm` is that of the objective in log coefficients and exponents of centred columns
    (for least absolute deviation the smallest of its subgradients); `starts_agreeing` of `starts`
    ended at this objective.
    """

    problem: Problem
    theta: Vector
    objective: float
    gradient_norm: float
    starts: int
    starts_agreeing: int

    @cached_property
    def natural(self) -> Vector:
        """The law's parameters in the order of its letters."""
        problem = self.problem
        return np.asarray(problem.law.natural(self.theta[None], problem.centres)[0])

    @property
    def params(self) -> dict[str, Any]:
        """The law's parameters by letter."""
        return self.problem.law.params(self.natural)

    def predict(self, columns: Matrix) -> Vector:
        """The loss at other rows; columns [inputs, rows]."""
        model = self.problem.law.model(self.problem.logs(columns))
        return np.asarray(np.exp(model.log_prediction(self.theta[None])[0]))

    def residuals(self) -> Vector:
        """Of the rows that were fitted, in the criterion's residual."""
        problem = self.problem
        predicted = problem.rows().model.log_prediction(self.theta[None])
        return np.asarray(problem.criterion.residuals(problem.target, predicted)[0])

    @cached_property
    def condition_number(self) -> float:
        """Of the Jacobian of log predictions, columns normalised, in the natural parameters.

        Where columns follow from each other, at the point where terms of them are the same.
        """
        problem = self.problem
        tied = problem.law.tied(self.theta, problem.logs(problem.columns))
        theta = self.theta if tied is None else tied
        return condition_number(problem, theta)

    @property
    def converged(self) -> bool:
        """Whether the gradient is zero but for rounding."""
        criterion, rows = self.problem.criterion, len(self.problem.target)
        return self.gradient_norm <= FLAT_GRADIENT * criterion.steepest * rows

    @property
    def identifiable(self) -> bool:
        """Whether these rows tell the parameters apart."""
        return self.condition_number <= ILL_CONDITIONED


def fit_law(problem: Problem, near: Optimum | None = None) -> Optimum:
    """The law of least criterion. Raises NoLaw where the rows are too few for its parameters.

    A refit to some of the rows of a fit `near` it starts there too, and from fewer other points.
    """
    _enough(problem)
    rows = problem.rows()
    theta = rows.model.starts(problem.target)
    objectives = rows.objectives(problem.criterion)
    with np.errstate(all="ignore"):
        first = objectives[0](theta, np.arange(len(theta))).value
    order = np.argsort(np.where(np.isfinite(first), first, np.inf), kind="stable")
    theta = theta[order[: problem.law.refined if near is None else Law.refined]]
    if near is not None:
        theta = np.vstack([theta, near.theta])
    floors = rows.model.floors(problem.target)
    theta, _ = descend(objectives, theta, floors)
    totals = exact_totals(problem, rows, theta)
    best = int(np.argmin(totals))
    if near is None:
        # Where data have no noise, the way down to the one best start can be long.
        theta[best], _ = minimise(objectives[-1], theta[best : best + 1], floors, LONGEST)
        totals = exact_totals(problem, rows, theta)
        best = int(np.argmin(totals))
    rounding = EXACT * len(problem.target) * problem.criterion.steepest
    agreeing = totals <= totals[best] * (1 + AGREE) + rounding
    return Optimum(
        problem,
        theta[best],
        objective=float(totals[best]),
        gradient_norm=_gradient_norm(problem, rows, theta[best]),
        starts=len(theta),
        starts_agreeing=int(agreeing.sum()),
    )


def exact_totals(problem: Problem, rows: Rows, theta: Matrix) -> Vector:
    """The objective at each theta [fits], not smoothed."""
    with np.errstate(all="ignore"):  # a law that ran away is of no finite objective
        residuals = problem.criterion.residuals(problem.target, rows.model.log_prediction(theta))
        totals = problem.criterion.total(residuals, rows.weights)
    return np.asarray(np.where(np.isfinite(totals), totals, np.inf))


def condition_number(problem: Problem, theta: Vector) -> float:
    """Of the Jacobian of log predictions at theta, its columns of norm 1; at most 1e16."""
    jacobian = _natural_jacobian(problem, theta)
    if not np.isfinite(jacobian).all():
        return SINGULAR
    norms = np.linalg.norm(jacobian, axis=0)
    there = norms > 0
    found = float(np.linalg.cond(jacobian[:, there] / norms[there])) if there.any() else SINGULAR
    return min(found, SINGULAR) if np.isfinite(found) else SINGULAR


def _natural_jacobian(problem: Problem, theta: Vector) -> Matrix:
    """d log prediction / d natural parameters [rows, P'], of coefficients that are not zero.

    By the chain rule: the law's natural parameters are smooth in theta, and each in few of them.
    """
    there = np.flatnonzero(theta > GONE)
    moves = SLOPE_STEP * np.eye(len(theta))[there]
    high, low = (problem.law.natural(theta + sign * moves, problem.centres) for sign in (1, -1))
    per_theta = (high - low) / (2 * SLOPE_STEP)
    scale = np.abs(per_theta).max(axis=0)
    with np.errstate(all="ignore"):
        slopes = problem.rows().model.at(theta[None]).jacobian()[0][there]
    per_natural = np.linalg.lstsq(per_theta[:, scale > 0] / scale[scale > 0], slopes)[0]
    return np.asarray(per_natural.T)


def _enough(problem: Problem) -> None:
    """Refuse fewer rows, or fewer different values of a column, than a law needs."""
    count, parameters = len(problem.target), len(problem.law.letters)
    if count <= parameters:
        raise NoLaw(
            f"the {parameters} parameters need at least {parameters + 1} runs, "
            f"there {'is' if count == 1 else 'are'} {count}"
        )
    if float(np.ptp(np.log(problem.target))) < SAME:
        raise NoLaw("the loss is the same in all runs")
    for name, column in zip(problem.law.inputs, problem.columns, strict=True):
        distinct = len(np.unique(column))
        if distinct < 3:
            raise NoLaw(f"{distinct} different {name}: the law needs at least 3")


def _gradient_norm(problem: Problem, rows: Rows, theta: Vector) -> float:
    """The norm of the objective's gradient at theta, summed over rows."""
    criterion = problem.criterion
    if criterion.loss == "lad":
        return _subgradient_norm(problem, rows, theta)
    scale = rows.objective(criterion, criterion.turn)
    local = scale(theta[None], np.array([0]))
    total = exact_totals(problem, rows, theta[None])[0]
    if local.value[0] == 0:
        return 0.0
    return float(np.linalg.norm(local.gradient[0]) * total / local.value[0])


def _subgradient_norm(problem: Problem, rows: Rows, theta: Vector) -> float:
    """The least norm of sum_r sign_r J_r, where rows with residual 0 take any sign in [-1, 1]."""
    at = rows.model.at(theta[None])
    residuals = problem.criterion.residuals(problem.target, at.log_prediction)[0]
    slopes: NDArray[np.float64] = at.jacobian()[0]
    if problem.criterion.residual == "linear":
        slopes = slopes * np.exp(at.log_prediction)
    zero = np.abs(residuals) < TOUCHING * problem.criterion.unit
    fixed = slopes[:, ~zero] @ np.sign(residuals[~zero])
    if not zero.any():
        return float(np.linalg.norm(fixed))
    free = lsq_linear(slopes[:, zero], -fixed, bounds=(-1, 1), tol=1e-14)
    return float(np.linalg.norm(fixed + slopes[:, zero] @ free.x))
