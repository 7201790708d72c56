"""How sure a fitted law is: pairs bootstrap (Efron 1979), all resamples solved at once.

Runs are drawn with replacement with all their numbers, which becomes a row of weights for each
resample; each starts at the point fit and goes down to its own optimum.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from vitladder.laws.criterion import Matrix, Vector
from vitladder.laws.newton import GONE, descend
from vitladder.laws.optimum import Optimum, Problem
from vitladder.laws.power_sum import REVIVED

PERCENTILES = (2.5, 97.5)
MIN_DRAWS = 20  # with fewer, the ends of an interval are those of the draws
MIN_USED = 0.5  # of the draws: with fewer, the intervals would only show the draws that went well
BLOCK = 1 << 24  # numbers of the weights that are held at once
NEAR = 1e-2  # the turn from which resamples approach a criterion with a sharper one


@dataclass(frozen=True)
class Resamples:
    """The law of each usable draw: theta and natural parameters [used, ...]."""

    optimum: Optimum
    theta: Matrix
    drawn: int

    @cached_property
    def natural(self) -> Matrix:
        """The law's parameters of each draw, in the order of its letters."""
        problem = self.optimum.problem
        return problem.law.natural(self.theta, problem.centres)

    def named(self) -> dict[str, Vector]:
        """The draws of each letter."""
        letters = self.optimum.problem.law.letters
        return dict(zip(letters, self.natural.T, strict=True))

    @property
    def enough(self) -> bool:
        """Whether so many draws gave a law that their spread means something."""
        return self.drawn >= MIN_DRAWS and len(self.theta) >= MIN_USED * self.drawn

    @property
    def why_none(self) -> str:
        """Why there are no intervals."""
        if self.drawn < MIN_DRAWS:
            return f"{self.drawn} draws were asked for: an interval needs at least {MIN_DRAWS}"
        return (
            f"only {len(self.theta)} of {self.drawn} draws gave a law: the runs are too few or too "
            "alike"
        )


def resample(optimum: Optimum, drawn: int, seed: int) -> Resamples:
    """The law's optimum for `drawn` studies drawn from the runs; unusable draws are left out."""
    problem = optimum.problem
    if drawn == 0:
        return Resamples(optimum, np.empty((0, len(optimum.theta))), 0)
    start = _revived(optimum.theta, problem.target)
    found = [
        _solved(problem, weights, start) for weights in _weights(len(problem.target), drawn, seed)
    ]
    theta = np.concatenate(found)
    natural = problem.law.natural(theta, problem.centres)
    refuse, reach = problem.law.refuse, problem.reach
    usable = [np.isfinite(one).all() and refuse(one, reach) is None for one in natural]
    return Resamples(optimum, theta[usable], drawn)


def pair_weights(rows: int, drawn: int, seed: int) -> Matrix:
    """How often each row is in each draw of as many rows, with replacement: [drawn, rows]."""
    return np.concatenate([np.empty((0, rows)), *_weights(rows, drawn, seed)])


def _weights(rows: int, drawn: int, seed: int) -> Iterator[Matrix]:
    """The same in blocks of draws that fit into memory, however many rows there are."""
    rng, block = np.random.default_rng(seed), max(1, BLOCK // rows)
    for first in range(0, drawn, block):
        count = min(block, drawn - first)
        picks = rng.integers(0, rows, (count, rows)) + rows * np.arange(count)[:, None]
        counts = np.bincount(picks.ravel(), minlength=count * rows)
        yield counts.reshape(count, rows).astype(np.float64)


def _solved(problem: Problem, weights: Matrix, start: Vector) -> Matrix:
    """The optimum of each draw, from one start."""
    rows = problem.rows(weights)
    theta = np.repeat(start[None], len(weights), axis=0)
    objectives = rows.objectives(problem.criterion, widest=NEAR * problem.criterion.unit)
    return descend(objectives, theta, rows.model.floors(problem.target))[0]


def interval(draws: Vector) -> list[float]:
    """The 95 % percentile interval."""
    return [float(x) for x in np.percentile(draws, PERCENTILES)]


def spread(draws: Vector) -> float:
    """The standard error: the draws' standard deviation."""
    return float(np.std(draws, ddof=1)) if len(draws) > 1 else 0.0


def in_shape_of(params: Mapping[str, Any], rows: Mapping[str, Any]) -> dict[str, Any]:
    """`rows` of letters in the shape of `params` of a K-term law: `coef` and `exp` as lists."""
    found = {name: rows[name] for name in params if name in rows}
    letters = list(rows)
    if "coef" in params:
        found |= {"coef": [rows[name] for name in letters[1::2]]}
        found |= {"exp": [rows[name] for name in letters[2::2]]}
    return found


def _revived(theta: Vector, target: Vector) -> Vector:
    """A start at which a coefficient that is zero at the optimum can grow."""
    return np.where(theta <= GONE, np.log(REVIVED * target.min()), theta)
