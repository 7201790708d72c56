"""Which runs to do next: those that narrow the interval of N* at a target C most per FLOP.

Linearised around the fit, the variance of log N* is c^T M^-1 c, with M the information of the
runs (the sum of J J^T / sigma^2, J the gradient of log L) and c the gradient of log N*. One more
run adds its own J J^T to M, which lowers the variance by (c^T M^-1 J)^2 / (sigma^2 + J^T M^-1 J)
(Sherman & Morrison 1950; c-optimal design, Elfving 1952).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vitladder.laws.criterion import Matrix, Vector
from vitladder.laws.frontier import Frontier

MOST_RUNS = 12
RIDGE = 1e-9  # of M's diagonal, where the runs leave a direction open
LEAST_GAIN = 1e-3  # of the first variance: runs that lower it by less are not worth proposing


@dataclass(frozen=True)
class Candidate:
    """A run that could be done: N, D and C in the units of the fit."""

    n_params: float
    images: float
    flops: float


@dataclass(frozen=True)
class Design:
    """The chosen candidates by index; the standard error of log N* before and after them."""

    chosen: tuple[int, ...]
    before: float
    after: float


def choose(
    split: Frontier,
    done: tuple[Vector, Vector],
    sigma: float,
    candidates: Sequence[Candidate],
    target: float,
    budget: float,
) -> Design:
    """The better of two greedy choices within the budget: by gain per FLOP, and by gain.

    `done`: N and D of the runs that were fitted [runs]; `sigma` their noise of log L.
    """
    covariance = np.asarray(np.linalg.pinv(_information(split, done, sigma)), dtype=np.float64)
    direction = log_n_gradient(split.law, target, split.k)
    slopes = log_loss_gradient(
        split.law,
        np.array([one.n_params for one in candidates]),
        np.array([one.images for one in candidates]),
    )
    flops = np.array([one.flops for one in candidates])
    start = float(direction @ covariance @ direction)
    plans = [
        _greedy(covariance, direction, slopes / sigma, flops, budget, per_flop=price)
        for price in (flops, np.ones_like(flops))
    ]
    picks, variance = min(plans, key=lambda plan: plan[1])
    return Design(tuple(picks), float(np.sqrt(start)), float(np.sqrt(variance)))


def log_loss_gradient(law: Vector, n_params: Vector, images: Vector) -> Matrix:
    """d log L / d (log E, log A, alpha, log B, beta) of a law (E, A, alpha, B, beta): [runs, 5]."""
    e, a, alpha, b, beta = law
    log_n, log_d = np.log(n_params), np.log(images)
    size, data = a * np.exp(-alpha * log_n), b * np.exp(-beta * log_d)
    loss = e + size + data
    columns = [e * np.ones_like(loss), size, -size * log_n, data, -data * log_d]
    return np.asarray(np.stack(columns, axis=1) / loss[:, None])


def log_n_gradient(law: Vector, flops: float, k: float) -> Vector:
    """d log N* / d (log E, log A, alpha, log B, beta) at C: [5].

    From log N* = (log(alpha A) - log(beta B) + beta log(C/k)) / (alpha + beta).
    """
    _, a, alpha, b, beta = law
    both, log_nd = alpha + beta, np.log(flops / k)
    log_n = (np.log(alpha * a) - np.log(beta * b) + beta * log_nd) / both
    per_alpha = (1 / alpha - log_n) / both
    per_beta = (-1 / beta + log_nd - log_n) / both
    return np.array([0.0, 1 / both, per_alpha, -1 / both, per_beta])


def _information(split: Frontier, done: tuple[Vector, Vector], sigma: float) -> Matrix:
    slopes = log_loss_gradient(split.law, *done) / sigma
    information = slopes.T @ slopes
    return np.asarray(information + RIDGE * np.diag(np.diag(information)))


def _greedy(
    covariance: Matrix,
    direction: Vector,
    slopes: Matrix,
    flops: Vector,
    budget: float,
    per_flop: Vector,
) -> tuple[list[int], float]:
    """The runs picked, each the best for its price given those before it, and the variance then."""
    picks: list[int] = []
    start = variance = float(direction @ covariance @ direction)
    left = budget
    while len(picks) < MOST_RUNS:
        along = slopes @ covariance  # [candidates, 5]
        gain = (along @ direction) ** 2 / (1 + (along * slopes).sum(axis=1))
        gain = np.where((flops <= left) & ~np.isin(np.arange(len(flops)), picks), gain, -np.inf)
        best = int(np.argmax(gain / per_flop))
        if gain[best] < LEAST_GAIN * start:
            break
        picks.append(best)
        left -= flops[best]
        step = along[best]
        covariance = covariance - np.outer(step, step) / (1 + step @ slopes[best])
        variance = float(direction @ covariance @ direction)
    return picks, variance
