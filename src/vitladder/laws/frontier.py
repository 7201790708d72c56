"""Where a law of N and D puts its compute: N*, D* and the loss there, at any C, with intervals.

Hoffmann et al. 2022 (arXiv:2203.15556), equation 4, with C = k N D and the runs' own k.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from vitladder.laws.criterion import Matrix, Vector
from vitladder.laws.forms import flops_per_param_image, split
from vitladder.laws.optimum import Optimum
from vitladder.laws.resample import Resamples, interval

POINTS = 7  # of C between the runs' smallest and largest, in an answer
BEYOND = 10.0  # times the largest C: the question that a study is for


@dataclass(frozen=True)
class Frontier:
    """The split of one law, and of its draws; rows of parameters are (E, A, alpha, B, beta)."""

    law: Vector
    draws: Matrix
    k: float
    flops: tuple[float, float]  # the smallest and the largest C of the runs
    unit: str = "images"  # what D counts: images or tokens

    def exponents(self) -> dict[str, Vector]:
        """a of N* and b of D* of each draw [draws]."""
        return {"a": _a(self.draws), "b": 1 - _a(self.draws)}

    def at(self, flops: float, k: float | None = None) -> dict[str, Any]:
        """The compute-optimal N, D and loss at C, with 95 % intervals where there are draws.

        `k` is another one than the runs', of C = k N D.
        """
        k = self.k if k is None else k
        at_law = (float(x[0]) for x in split(self.law[None], flops, k))
        point = dict(zip(NAMES, at_law, strict=True))
        ci95 = None
        if len(self.draws):
            drawn = split(self.draws, flops, k)
            ci95 = {name: interval(values) for name, values in zip(NAMES, drawn, strict=True)}
        return {"flops": flops, **point, "ci95": ci95, "extrapolated": flops > self.flops[1]}

    def data(self) -> dict[str, Any]:
        """The exponents, k, and the split from the smallest C to ten times the largest."""
        a = float(_a(self.law[None])[0])
        grid = [*np.geomspace(*self.flops, POINTS), BEYOND * self.flops[1]]
        return {
            "a": a,
            "b": 1 - a,
            "flops_per_param_image": self.k,
            "unit": self.unit,
            "frontier": [self.at(float(flops)) for flops in grid],
        }


NAMES = ("n_params", "images", "loss")


def frontier_of(flops: Vector, optimum: Optimum, draws: Resamples) -> Frontier:
    """The split of a law that was fitted to runs of this compute."""
    n_params, images = optimum.problem.columns
    k = flops_per_param_image(n_params, images, flops)
    kept = draws.natural if draws.enough else np.empty((0, len(optimum.natural)))
    reach = float(flops.min()), float(flops.max())
    return Frontier(optimum.natural, kept, k, reach, optimum.problem.law.inputs[1])


def _a(laws: Matrix) -> Vector:
    alpha, beta = laws[:, 2], laws[:, 4]
    return np.asarray(beta / (alpha + beta))
