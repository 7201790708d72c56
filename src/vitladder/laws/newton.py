"""Many small minimisations at once: damped Newton with exact Hessians, down to rounding.

All fits of a batch (the starts of one fit, or the resamples of a bootstrap) take each step together
as arrays, so that thousands cost little more than one. A step is only taken where it lowers the
objective, or, where rounding hides that, the gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vitladder.laws.criterion import Matrix, Vector

MAX_STEPS = 300
APPROACH_STEPS = 15  # to each objective on the way to the last one
SMALLEST_DAMPING, LARGEST_DAMPING = 1e-12, 1e10
LEAST_MAJORANT, MOST_MAJORANT = 1e-2, 1e6  # of it that a Hessian is given to be positive
RIDGE = 1e-10  # of the majorant's diagonal, so that it is positive where two parameters are alike
FLAT = 1e-10  # of the objective: a predicted decrease below it is near rounding
GONE = -1e4  # a log coefficient of a term that is zero: its exponential is exactly 0


class Local(NamedTuple):
    """An objective at theta: value [fits], gradient [fits, P], Hessian [fits, P, P].

    `majorant` is a positive curvature [fits, P, P] by which a step goes down: that of the parabolas
    above a robust loss, which has next to no curvature of its own where all residuals are large.
    """

    value: Vector
    gradient: Matrix
    hessian: NDArray[np.float64]
    majorant: NDArray[np.float64]


Objective = Callable[[Matrix, NDArray[np.intp]], Local]  # theta [fits, P], which fits of the batch


def descend(objectives: Sequence[Objective], start: Matrix, floors: Floors) -> tuple[Matrix, Local]:
    """The optimum of the last objective, through the others, which are only approached."""
    theta = start
    for objective in objectives[:-1]:
        theta, _ = minimise(objective, theta, floors, APPROACH_STEPS)
    return minimise(objectives[-1], theta, floors)


@dataclass(frozen=True)
class Floors:
    """Below which theta a log coefficient counts as zero, and what loses its meaning with it.

    `lowest`: [P], -inf where a parameter has none; `companions`: by its index, those of others.
    """

    lowest: Vector
    companions: dict[int, tuple[int, ...]]

    def settle(self, theta: Matrix, frozen: NDArray[np.bool_]) -> None:
        """Set what fell below its floor to zero and freeze it, in place."""
        for index in np.flatnonzero(np.isfinite(self.lowest)):
            fell = theta[:, index] < self.lowest[index]
            theta[fell, index] = GONE
            gone = [int(index), *self.companions.get(int(index), ())]
            frozen[np.ix_(fell, gone)] = True


def minimise(
    objective: Objective, start: Matrix, floors: Floors, most_steps: int = MAX_STEPS
) -> tuple[Matrix, Local]:
    """The local optimum near each start [fits, P], and the objective there.

    A fit ends where no step lowers its objective or its gradient any more.
    """
    theta = start.copy()
    frozen = np.zeros(theta.shape, dtype=bool)
    floors.settle(theta, frozen)
    with np.errstate(all="ignore"):  # a wild trial overflows, and is not taken
        state = _masked(objective(theta, np.arange(len(theta))), frozen)
        _descend(objective, theta, state, frozen, floors, most_steps)
    return theta, state


def _descend(
    objective: Objective,
    theta: Matrix,
    state: Local,
    frozen: NDArray[np.bool_],
    floors: Floors,
    most_steps: int,
) -> None:
    """Step every fit until it ends, in place."""
    active, damping = np.arange(len(theta)), np.full(len(theta), 1e-3)
    for _ in range(most_steps):
        here = Local(*(part[active] for part in state))
        step, predicted = _step(here, damping[active])
        trial = theta[active] - step
        there = _masked(objective(trial, active), frozen[active])
        better = _better(here, there, predicted)
        moved = active[better]
        theta[moved] = trial[better]
        for part, new in zip(state, there, strict=True):
            part[moved] = new[better]
        floors.settle(theta, frozen)
        _mask(state, frozen)
        damping[active] = np.where(better, damping[active] / 10, damping[active] * 5)
        damping = np.maximum(damping, SMALLEST_DAMPING)
        ended = ~better & ((damping[active] > LARGEST_DAMPING) | (predicted <= FLAT * here.value))
        active = active[~ended]
        if not len(active):
            break


def _better(here: Local, there: Local, predicted: Vector) -> NDArray[np.bool_]:
    """Where a trial lowers the objective, or the gradient where rounding hides the objective."""
    near = predicted <= FLAT * here.value
    flatter = np.linalg.norm(there.gradient, axis=1) < 0.9 * np.linalg.norm(here.gradient, axis=1)
    same = there.value <= here.value * (1 + 1e-13)
    return np.where(near, flatter & same, there.value < here.value)


def _masked(local: Local, frozen: NDArray[np.bool_]) -> Local:
    _mask(local, frozen)
    return local


def _mask(local: Local, frozen: NDArray[np.bool_]) -> None:
    """Take frozen parameters out of the problem: no gradient, and a curvature of their own."""
    if not frozen.any():
        return
    local.gradient[frozen] = 0.0
    fits, index = np.nonzero(frozen)
    for curvature in (local.hessian, local.majorant):
        curvature[fits, index, :] = 0.0
        curvature[fits, :, index] = 0.0
        curvature[fits, index, index] = 1.0


def _step(local: Local, damping: Vector) -> tuple[Matrix, Vector]:
    """The damped Newton step of each fit, and by how much the quadratic model says it lowers.

    The Hessian is damped by the majorant, and by as much more of it as makes it positive.
    """
    scale = np.sqrt(np.diagonal(local.majorant, axis1=1, axis2=2))
    scale = np.maximum(scale, 1e-8 * scale.max(axis=1, keepdims=True))
    scale[~(scale > 0)] = 1.0
    both = scale[:, :, None] * scale[:, None, :]
    hessian, majorant, slope = local.hessian / both, local.majorant / both, local.gradient / scale
    majorant[:, range(scale.shape[1]), range(scale.shape[1])] *= 1 + RIDGE
    solution, positive = solve_positive(hessian + damping[:, None, None] * majorant, slope)
    more = LEAST_MAJORANT
    while not positive.all() and more < MOST_MAJORANT:
        lost = np.flatnonzero(~positive)
        bowl = hessian[lost] + np.maximum(damping[lost], more)[:, None, None] * majorant[lost]
        solution[lost], positive[lost] = solve_positive(bowl, slope[lost])
        more *= 8
    return solution / scale, 0.5 * (solution * slope).sum(axis=1)


def solve_positive(
    matrices: NDArray[np.float64], right: Matrix
) -> tuple[Matrix, NDArray[np.bool_]]:
    """x of A x = b for each symmetric A [fits, P, P], by LDL^T; and which A are positive definite.

    Written over all fits at once, since P is small; x of an A that is not is of no use.
    """
    rows, solution = matrices.copy(), right.copy()
    size = rows.shape[1]
    positive = np.ones(len(rows), dtype=bool)
    with np.errstate(all="ignore"):
        for k in range(size):
            positive &= rows[:, k, k] > 1e-14
            for i in range(k + 1, size):
                factor = rows[:, i, k] / rows[:, k, k]
                rows[:, i, k:] -= factor[:, None] * rows[:, k, k:]
                solution[:, i] -= factor * solution[:, k]
        for k in range(size - 1, -1, -1):
            above = (rows[:, k, k + 1 :] * solution[:, k + 1 :]).sum(axis=1)
            solution[:, k] = (solution[:, k] - above) / rows[:, k, k]
    return solution, positive
