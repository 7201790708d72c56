"""The shape law f(x, t) = alpha x^-a + (beta x^b + xi) t^-c + eps, and its best shape.

Alabdulmohsin et al. 2023, "Getting ViT in Shape" (arXiv:2305.13035), equation 1: x is a dimension
of the shape (width, depth or MLP width), t the compute. At fixed t the best x grows as t^s with
s = c / (a + b): where alpha a x^-a = beta b x^b t^-c.

Four power laws, so that each one's share of f times its slopes is its part of d log f.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from vitladder.laws.criterion import Matrix, Vector
from vitladder.laws.law import MAX_EXPONENT, MIN_EXPONENT, Law, coefficient
from vitladder.laws.power_sum import PowerSum, Term

A, B, C = (np.geomspace(0.1, 1.5, 6), np.geomspace(0.1, 1.5, 6), np.geomspace(0.1, 1.5, 6))


@dataclass(frozen=True)
class Shape(Law):
    """theta = (log alpha', a, log beta', b, log xi', c, log eps)."""

    columns: tuple[str, str] = ("width", "flops")

    name: ClassVar[str] = "shape"
    letters: ClassVar[tuple[str, ...]] = ("alpha", "a", "beta", "b", "xi", "c", "epsilon")

    @property
    def inputs(self) -> tuple[str, ...]:
        """The dimension of the shape, and the compute."""
        return self.columns

    @property
    def formula(self) -> str:
        """In the paper's letters."""
        x, t = self.columns
        return f"alpha {x}^-a + (beta {x}^b + xi) {t}^-c + epsilon"

    def model(self, log_columns: Matrix) -> PowerSum:
        """Four terms, two of which share c."""
        x, t = log_columns
        ones = np.ones_like(x)
        terms = (
            Term((0, 1), np.array([ones, -x])),
            Term((2, 3, 5), np.array([ones, x, -t])),
            Term((4, 5), np.array([ones, -t])),
            Term((6,), ones[None]),
        )
        return PowerSum(7, terms, ((1, A), (3, B), (5, C)))

    def natural(self, theta: Matrix, centres: Vector) -> Matrix:
        """Each coefficient at its columns' centres."""
        log_alpha, a, log_beta, b, log_xi, c, log_eps = theta.T
        x, t = centres
        return np.stack(
            [
                coefficient(log_alpha, a * x),
                a,
                coefficient(log_beta, c * t - b * x),
                b,
                coefficient(log_xi, c * t),
                c,
                coefficient(log_eps),
            ],
            axis=1,
        )

    def refuse(self, natural: Vector, reach: Matrix) -> str | None:
        """A shape without a best value, or a compute that does not help."""
        alpha, a, beta, b, _, c, _ = natural
        x, t = self.columns
        if min(alpha, beta) <= 0 or min(a, b) < MIN_EXPONENT:
            return f"no best {x} shows between these runs' {x}s"
        if c < MIN_EXPONENT:
            return f"the loss does not fall with {t} in these runs"
        if max(a, b, c) > MAX_EXPONENT:
            return f"an exponent is not determined: it runs past {MAX_EXPONENT:g}"
        return None

    def params(self, natural: Vector) -> dict[str, Any]:
        """The letters, and s, with which the best x grows as t^s."""
        found = super().params(natural)
        return found | {"s": found["c"] / (found["a"] + found["b"])}
