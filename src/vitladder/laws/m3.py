"""Estimator M3: beta (1/x + gamma)^c, a power law that saturates at beta gamma^c.

Alabdulmohsin et al. 2022 (arXiv:2209.06640), section 3; c > 0. With theta = (log beta', c,
log gamma'), d log f = (1, log(1/x + gamma), c gamma / (1/x + gamma)) d theta.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from vitladder.laws.criterion import Matrix, Vector
from vitladder.laws.curve import Curve, Numbers, log1p_exp, sigmoid
from vitladder.laws.law import Law, coefficient
from vitladder.laws.newton import Floors
from vitladder.laws.power import falls


@dataclass(frozen=True)
class M3(Law):
    """beta (1/x + gamma)^c."""

    column: str = "flops"

    name: ClassVar[str] = "m3"
    letters: ClassVar[tuple[str, ...]] = ("beta", "gamma", "c")

    @property
    def inputs(self) -> tuple[str, ...]:
        """The one column."""
        return (self.column,)

    @property
    def formula(self) -> str:
        """In the paper's letters."""
        return f"beta (1/{self.column} + gamma)^c"

    def model(self, log_columns: Matrix) -> Curve:
        """At the rows of the one column."""
        return Curve(self, 3, log_columns[0])

    def natural(self, theta: Matrix, centres: Vector) -> Matrix:
        """gamma = gamma' / x and beta = beta' x^c at the centre x."""
        log_beta, c, log_gamma = theta.T
        beta, gamma = coefficient(log_beta, c * centres[0]), coefficient(log_gamma, -centres[0])
        return np.stack([beta, gamma, c], axis=1)

    def refuse(self, natural: Vector, reach: Matrix) -> str | None:
        """A curve that rises or is a step."""
        return falls(self.column, -float(natural[2]))

    def solve(self, theta: Matrix, u: Vector) -> None:
        """Nothing: the law is explicit."""

    def log_value(self, theta: Matrix, u: Vector, solved: Vector | None) -> Matrix:
        """log beta' + c log(1/x + gamma')."""
        log_beta, c, log_gamma = (theta[:, index, None] for index in range(3))
        return np.asarray(log_beta + c * (log1p_exp(log_gamma + u) - u))

    def log_gradient(self, theta: Numbers, u: Vector, solved: Vector | None) -> Numbers:
        """See the top of this file."""
        _, c, log_gamma = (theta[:, index, None] for index in range(3))
        log_sum = log1p_exp(log_gamma + u) - u
        return np.stack([np.ones_like(log_sum), log_sum, c * sigmoid(log_gamma + u)], axis=1)

    def curve_starts(self, u: Vector, target: Vector) -> Matrix:
        """Over saturations; beta and c solve a linear problem at each."""
        found = []
        for log_gamma in np.linspace(-u.max() - 4, -u.min() + 2, 24):
            line = np.stack([np.ones_like(u), np.logaddexp(-u, log_gamma)], axis=1)
            log_beta, c = np.linalg.lstsq(line, np.log(target), rcond=None)[0]
            found.append([log_beta, c, log_gamma])
        return np.array(found)

    def curve_floors(self, u: Vector, target: Vector) -> Floors:
        """gamma of the largest x's 1/x."""
        return Floors(np.array([-np.inf, -np.inf, float(np.log(1e-12) - u.max())]), {})
