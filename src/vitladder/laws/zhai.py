"""The doubly saturating power law E(C) = c + a (C + d)^-b.

Zhai et al. 2022, "Scaling Vision Transformers" (arXiv:2106.04560), section 2.1: error over compute,
where d saturates small compute (no worse than a guess) and c large compute.

With theta = (log c, log a', b, log d'), s the second term's share of E and w = d / (C + d):
d log E = (1 - s, s, -s log(C + d), -s b w) d theta.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from vitladder.laws.criterion import Matrix, Vector
from vitladder.laws.curve import Curve, Numbers, log1p_exp, sigmoid, two_part_starts
from vitladder.laws.law import MAX_EXPONENT, MIN_EXPONENT, Law, coefficient
from vitladder.laws.newton import Floors

ZERO = 1e-12


@dataclass(frozen=True)
class Zhai(Law):
    """c + a (x + d)^-b."""

    column: str = "flops"

    name: ClassVar[str] = "zhai"
    letters: ClassVar[tuple[str, ...]] = ("a", "b", "c", "d")

    @property
    def inputs(self) -> tuple[str, ...]:
        """The one column."""
        return (self.column,)

    @property
    def formula(self) -> str:
        """In the paper's letters."""
        return f"c + a ({self.column} + d)^-b"

    def model(self, log_columns: Matrix) -> Curve:
        """At the rows of the one column."""
        return Curve(self, 4, log_columns[0])

    def natural(self, theta: Matrix, centres: Vector) -> Matrix:
        """a = a' x^b and d = d' x at the centre x."""
        log_c, log_a, b, log_d = theta.T
        a, d = coefficient(log_a, b * centres[0]), coefficient(log_d, centres[0])
        return np.stack([a, b, coefficient(log_c), d], axis=1)

    def refuse(self, natural: Vector, reach: Matrix) -> str | None:
        """A curve that does not fall, or is not determined."""
        a, b, _, _ = natural
        if a <= 0 or b < MIN_EXPONENT:
            return f"the loss does not fall with {self.column} in these runs"
        if b > MAX_EXPONENT:
            return f"the exponent b is not determined: it runs past {MAX_EXPONENT:g}"
        return None

    def solve(self, theta: Matrix, u: Vector) -> None:
        """Nothing: the law is explicit."""

    def log_value(self, theta: Matrix, u: Vector, solved: Vector | None) -> Matrix:
        """Log of c + a (x + d)^-b."""
        log_c, falling, _ = _parts(theta, u)
        return np.asarray(log_c + log1p_exp(falling - log_c))

    def log_gradient(self, theta: Numbers, u: Vector, solved: Vector | None) -> Numbers:
        """See the top of this file."""
        log_c, falling, log_sum = _parts(theta, u)
        b, log_d = theta[:, 2, None], theta[:, 3, None]
        share = sigmoid(falling - log_c)
        within = sigmoid(log_d - u)
        return np.stack([1 - share, share, -share * log_sum, -share * b * within], axis=1)

    def curve_starts(self, u: Vector, target: Vector) -> Matrix:
        """Over exponents, and saturations from far below the smallest x to beyond the largest."""
        grid = (np.geomspace(0.03, 3.0, 12), np.linspace(u.min() - 4, u.max() + 1, 9))
        found = two_part_starts(lambda at: np.exp(-at[0] * np.logaddexp(u, at[1])), grid, target)
        return np.array([[log_c, log_a, *at] for log_c, log_a, at in found])

    def curve_floors(self, u: Vector, target: Vector) -> Floors:
        """c of the lowest loss, a likewise, d of the smallest x."""
        low = float(np.log(ZERO * target.min()))
        return Floors(np.array([low, -np.inf, -np.inf, float(u.min() + np.log(ZERO))]), {})


def _parts(theta: Numbers, u: Vector) -> tuple[Numbers, Numbers, Numbers]:
    """log c, log(a (x + d)^-b) and log(x + d)."""
    log_c, log_a, b, log_d = (theta[:, index, None] for index in range(4))
    log_sum = u + log1p_exp(log_d - u)
    return log_c, np.asarray(log_a - b * log_sum), np.asarray(log_sum)
