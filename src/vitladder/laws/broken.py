"""The smoothly broken power law with one break: a + b x^-c0 (1 + (x/d1)^(1/f1))^(-c1 f1).

Caballero et al. 2023, "Broken Neural Scaling Laws" (arXiv:2210.14891), equation 1 with n = 1: slope
c0 before the break at d1, c0 + c1 after it, f1 how smooth it is.

With theta = (log a, log b', c0, c1, log d1', log f1), s the second term's share,
k = log(x/d1) / f1, p = log(1 + e^k) and g = 1 / (1 + e^-k):
d log f = (1 - s, s, -s log x, -s f1 p, s c1 g, -s c1 f1 (p - g k)) d theta.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from vitladder.laws.criterion import Matrix, Vector
from vitladder.laws.curve import Curve, Numbers, log1p_exp, sigmoid, two_part_starts
from vitladder.laws.law import MAX_EXPONENT, MIN_EXPONENT, Law, coefficient
from vitladder.laws.newton import Floors


@dataclass(frozen=True)
class Broken(Law):
    """a + b x^-c0 (1 + (x/d1)^(1/f1))^(-c1 f1)."""

    column: str = "flops"

    name: ClassVar[str] = "broken"
    refined: ClassVar[int] = 60
    letters: ClassVar[tuple[str, ...]] = ("a", "b", "c0", "c1", "d1", "f1")

    @property
    def inputs(self) -> tuple[str, ...]:
        """The one column."""
        return (self.column,)

    @property
    def formula(self) -> str:
        """In the paper's letters."""
        x = self.column
        return f"a + b {x}^-c0 (1 + ({x}/d1)^(1/f1))^(-c1 f1)"

    def model(self, log_columns: Matrix) -> Curve:
        """At the rows of the one column."""
        return Curve(self, 6, log_columns[0])

    def natural(self, theta: Matrix, centres: Vector) -> Matrix:
        """b = b' x^c0 and d1 = d1' x at the centre x."""
        log_a, log_b, c0, c1, log_d, log_f = theta.T
        b, d1 = coefficient(log_b, c0 * centres[0]), coefficient(log_d, centres[0])
        return np.stack([coefficient(log_a), b, c0, c1, d1, coefficient(log_f)], axis=1)

    def refuse(self, natural: Vector, reach: Matrix) -> str | None:
        """Slopes that run away or rise at the end, or a break outside of the rows."""
        _, b, c0, c1, d1, f1 = natural
        if b <= 0 or max(abs(c0), abs(c1)) > MAX_EXPONENT or not 1e-3 < f1 < 1e3:
            return f"no break is determined over {self.column} in these runs"
        if c0 + c1 < MIN_EXPONENT:
            return f"the loss does not fall with {self.column} at the end of these runs"
        low, high = reach[0]
        if not low < d1 < high:
            return f"the break lies outside of these runs' {self.column}"
        return None

    def solve(self, theta: Matrix, u: Vector) -> None:
        """Nothing: the law is explicit."""

    def log_value(self, theta: Matrix, u: Vector, solved: Vector | None) -> Matrix:
        """Log of the sum of the limit and the broken power law."""
        log_a, falling, _, _ = _parts(theta, u)
        return np.asarray(log_a + log1p_exp(falling - log_a))

    def log_gradient(self, theta: Numbers, u: Vector, solved: Vector | None) -> Numbers:
        """See the top of this file."""
        log_a, falling, along, smooth = _parts(theta, u)
        c1, f1 = theta[:, 3, None], np.exp(theta[:, 5, None])
        share, after = sigmoid(falling - log_a), sigmoid(along)
        slopes = [1 - share, share, -share * u, -share * f1 * smooth, share * c1 * after]
        return np.stack([*slopes, -share * c1 * f1 * (smooth - after * along)], axis=1)

    def curve_starts(self, u: Vector, target: Vector) -> Matrix:
        """Over both slopes, breaks between the rows, and three smoothnesses."""
        grid = (
            np.array([0.0, 0.05, 0.2, 0.5, 1.0]),
            np.array([-0.4, -0.1, 0.1, 0.3, 0.8]),
            np.linspace(u.min(), u.max(), 9)[1:-1],
            np.log([0.1, 0.4, 1.2]),
        )

        def part(at: Vector) -> Vector:
            c0, c1, log_d, log_f = at
            f1 = np.exp(log_f)
            return np.asarray(np.exp(-c0 * u - c1 * f1 * np.logaddexp(0, (u - log_d) / f1)))

        found = two_part_starts(part, grid, target)
        return np.array([[log_a, log_b, *at] for log_a, log_b, at in found])

    def curve_floors(self, u: Vector, target: Vector) -> Floors:
        """a of the lowest loss."""
        lowest = np.full(6, -np.inf)
        lowest[0] = np.log(1e-12 * target.min())
        return Floors(lowest, {})


def _parts(theta: Numbers, u: Vector) -> tuple[Numbers, Numbers, Numbers, Numbers]:
    """log a, log of the broken power law, k and log(1 + e^k)."""
    log_a, log_b, c0, c1, log_d, log_f = (theta[:, index, None] for index in range(6))
    f1 = np.exp(log_f)
    along = (u - log_d) / f1
    smooth = log1p_exp(along)
    return log_a, np.asarray(log_b - c0 * u - c1 * f1 * smooth), np.asarray(along), smooth
