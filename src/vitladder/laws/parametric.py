"""Fitting the parametric law: Huber loss on log residuals, to the optimum and not near it.

Hoffmann et al. 2022, section 3.3 and appendix D.2 (delta = 1e-3, the sum over runs). Stopping early
moves the parameters visibly (Besiroglu et al. 2024, arXiv:2404.10102), so the starts come from
variable projection and the last steps are Newton's.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy.optimize import nnls

from vitladder.laws.forms import ParametricLaw, Vector
from vitladder.laws.huber import DELTA, REVIVED, Problem, huber, newton

MIN_RUNS = 6  # one more than the law has parameters
MIN_DISTINCT = 3  # sizes, and numbers of images, that a curve needs
MIN_SPREAD = 0.02  # of log D around its line in log N: below it one budget, not a plane
START_EXPONENTS = np.geomspace(0.05, 2.0, 10)
STARTS_REFINED = 6
SMOOTHING = (1e-1, 1e-2, DELTA)  # Huber's delta is lowered in steps: the wide one is nearly convex
MAX_EXPONENT = 5.0
GONE = 1e-9  # a term below this share of the lowest loss is zero


class NoLaw(Exception):  # noqa: N818  it is a finding about the runs, not a programming error
    """These runs do not determine the law; the message says why in one line."""


@dataclass(frozen=True)
class ParametricFit:
    """The law at the optimum and the Huber objective there (sum over runs, delta = 1e-3)."""

    law: ParametricLaw
    objective: float


def why_not(n_params: Vector, images: Vector) -> str | None:
    """Why runs at these N and D cannot determine the law, or None."""
    if len(n_params) < MIN_RUNS:
        return f"the 5 parameters need at least {MIN_RUNS} complete runs, there are {len(n_params)}"
    for name, values in (("model sizes", n_params), ("numbers of images", images)):
        distinct = len(np.unique(values))
        if distinct < MIN_DISTINCT:
            return f"{distinct} different {name}: the law needs at least {MIN_DISTINCT}"
    log_n, log_d = np.log(n_params), np.log(images)
    design = np.stack([np.ones_like(log_n), log_n], axis=1)
    off_line = log_d - design @ np.linalg.lstsq(design, log_d)[0]
    if float(off_line.std()) < MIN_SPREAD:
        return "images follow from size in all runs (one budget): the law needs a second budget"
    return None


def fit_parametric(
    n_params: Vector, images: Vector, loss: Vector, start: ParametricLaw | None = None
) -> ParametricFit:
    """The law of least Huber loss; `start` replaces the search of starts (for a bootstrap).

    All arrays [runs], positive. Raises NoLaw where the runs do not determine the law.
    """
    reason = why_not(n_params, images)
    if reason:
        raise NoLaw(reason)
    problem = Problem.of(n_params, images, loss)
    starts = _starts(problem) if start is None else [problem.theta(start)]
    theta = min((_refine(problem, one) for one in starts), key=lambda one: _objective(problem, one))
    _check(problem, theta)
    return ParametricFit(problem.law(theta), _objective(problem, theta))


def _objective(problem: Problem, theta: Vector) -> float:
    return huber(problem.residuals(theta)[0])


def _check(problem: Problem, theta: Vector) -> None:
    """Refuse an optimum that is not a law: a term that is gone, rising, or a step."""
    _, log_a, log_b, alpha, beta = theta
    for axis, log_scale, exponent in (("size", log_a, alpha), ("images", log_b, beta)):
        if log_scale < problem.log_floor(GONE) or exponent <= 0:
            raise NoLaw(f"the loss does not fall with {axis} in these runs")
        if exponent > MAX_EXPONENT:
            raise NoLaw(f"the exponent of {axis} is not determined: it runs past {MAX_EXPONENT:g}")


def _starts(problem: Problem) -> list[Vector]:
    """The best starts of a grid of exponents; E, A', B' >= 0 solve a linear problem at each."""
    loss = np.exp(problem.log_loss)
    candidates = []
    for alpha, beta in product(START_EXPONENTS, START_EXPONENTS):
        terms = np.stack(
            [np.ones_like(loss), np.exp(-alpha * problem.u), np.exp(-beta * problem.v)], axis=1
        )
        scales, _ = nnls(terms / loss[:, None], np.ones_like(loss))
        logs = np.log(np.maximum(scales, np.exp(problem.log_floor(REVIVED))))
        theta = np.array([*logs, alpha, beta])
        candidates.append((_objective(problem, theta), theta))
    candidates.sort(key=lambda candidate: candidate[0])
    return [theta for _, theta in candidates[:STARTS_REFINED]]


def _refine(problem: Problem, start: Vector) -> Vector:
    """The local optimum near a start, while Huber's delta is lowered to its value.

    E may shrink towards its bound 0, where log E has no optimum: at the end E leaves the problem.
    """
    theta = start
    for delta in SMOOTHING:
        log_e = max(theta[0], problem.log_floor(REVIVED))
        theta = newton(problem, np.array([log_e, *theta[1:]]), delta)
    if theta[0] < problem.log_floor(GONE):
        theta = newton(problem, np.array([-np.inf, *theta[1:]]), DELTA)
    return theta
