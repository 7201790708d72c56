"""The parametric law's Huber objective, its derivatives, and Newton's way down.

Huber's loss of log residuals with delta = 1e-3, summed over runs (Hoffmann et al. 2022, section
3.3). Its Hessian is exact, so that the optimum is reached and not only approached.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from vitladder.laws.forms import ParametricLaw, Vector

DELTA = 1e-3
GRADIENT_TOLERANCE = 1e-11
MAX_STEPS = 500
MIN_DAMPING, MAX_DAMPING = 1e-14, 1e12
REVIVED = 1e-3  # a term that is zero in a start gets this share, so that it can grow again


@dataclass(frozen=True)
class Problem:
    """The runs in centred logs, in which the five parameters are about equally scaled.

    theta = (log E, log A', log B', alpha, beta) with A' = A/exp(alpha mean log N), B' likewise.
    """

    u: Vector
    v: Vector
    log_loss: Vector
    mean_u: float
    mean_v: float

    @staticmethod
    def of(n_params: Vector, images: Vector, loss: Vector) -> Problem:
        """The problem of runs with these N, D (images) and losses (nats), each [runs], positive."""
        log_n, log_d = np.log(n_params), np.log(images)
        mean_n, mean_d = float(log_n.mean()), float(log_d.mean())
        return Problem(log_n - mean_n, log_d - mean_d, np.log(loss), mean_n, mean_d)

    def law(self, theta: Vector) -> ParametricLaw:
        """The law at theta [5]; an E of log -inf is 0."""
        log_e, log_a, log_b, alpha, beta = (float(x) for x in theta)
        return ParametricLaw(
            E=float(np.exp(log_e)),
            A=float(np.exp(log_a + alpha * self.mean_u)),
            B=float(np.exp(log_b + beta * self.mean_v)),
            alpha=alpha,
            beta=beta,
        )

    def theta(self, law: ParametricLaw) -> Vector:
        """The theta [5] of a law, to start from: an E of 0 is revived, so that it can grow."""
        log_e = max(float(np.log(law.E)) if law.E > 0 else -np.inf, self.log_floor(REVIVED))
        log_a = np.log(law.A) - law.alpha * self.mean_u
        log_b = np.log(law.B) - law.beta * self.mean_v
        return np.array([log_e, log_a, log_b, law.alpha, law.beta])

    def log_floor(self, share: float) -> float:
        """The log of a share of the lowest loss."""
        return float(self.log_loss.min() + np.log(share))

    def residuals(self, theta: Vector) -> tuple[Vector, Vector]:
        """Log measured - log predicted [runs]; each term's share of the prediction [3, runs]."""
        log_e, log_a, log_b, alpha, beta = theta
        terms = np.stack(
            [np.full_like(self.u, log_e), log_a - alpha * self.u, log_b - beta * self.v]
        )
        top = terms.max(axis=0)
        shares = np.exp(terms - top)
        total = shares.sum(axis=0)
        return self.log_loss - top - np.log(total), shares / total

    @cached_property
    def slopes(self) -> NDArray[np.float64]:
        """d(term)/d(theta) [3, 5, runs]: each term's log is linear in theta."""
        one, zero = np.ones_like(self.u), np.zeros_like(self.u)
        return np.array(
            [
                [one, zero, zero, zero, zero],
                [zero, one, zero, -self.u, zero],
                [zero, zero, one, zero, -self.v],
            ]
        )


def huber(residuals: Vector, delta: float = DELTA) -> float:
    """The sum of Huber's loss (Huber 1964): r^2/2 up to delta, delta (|r| - delta/2) beyond."""
    size = np.abs(residuals)
    return float(np.sum(np.where(size <= delta, size**2 / 2, delta * (size - delta / 2))))


def newton(problem: Problem, start: Vector, delta: float) -> Vector:
    """The local optimum for one delta, over the parameters that are finite in `start`.

    Damped Newton with the exact Hessian: five parameters make each step cheap, and a step is only
    taken where it lowers the objective.
    """
    free = np.isfinite(start)
    theta, damping = start.copy(), 1e-3
    value, gradient, hessian = derivatives(problem, theta, free, delta)
    for _ in range(MAX_STEPS):
        if np.abs(gradient).max() < GRADIENT_TOLERANCE or damping > MAX_DAMPING:
            break
        curvatures, axes = np.linalg.eigh(hessian)
        bowl = curvatures + damping + max(0.0, -2 * float(curvatures[0]))
        trial = theta.copy()
        trial[free] -= axes @ ((axes.T @ gradient) / bowl)
        lower = derivatives(problem, trial, free, delta)
        if lower[0] < value:
            theta, damping = trial, max(damping / 10, MIN_DAMPING)
            value, gradient, hessian = lower
        else:
            damping *= 4
    return theta


def derivatives(
    problem: Problem, theta: Vector, free: NDArray[np.bool_], delta: float
) -> tuple[float, Vector, Vector]:
    """The mean Huber loss over delta, its gradient and its Hessian in the free parameters.

    `theta` and `free`: [5]; the gradient is [free], the Hessian [free, free]. The residuals are
    log-sum-exp in theta, whose derivative is each term's slope by its share; Huber's own are the
    clipped residual and 1 inside of delta, 0 beyond.
    """
    residuals, shares = problem.residuals(theta)
    slopes = problem.slopes[:, free]
    jacobian = np.einsum("kpr,kr->pr", slopes, shares)
    pull = np.clip(residuals, -delta, delta)
    inner = np.abs(residuals) <= delta
    bend = np.einsum("kpr,kqr->pq", slopes * (shares * pull)[:, None], slopes)
    hessian = (jacobian * (inner + pull)) @ jacobian.T - bend
    scale = delta * len(residuals)
    return huber(residuals, delta) / scale, -(jacobian @ pull) / scale, hessian / scale
