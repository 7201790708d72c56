"""Estimators M1 and M2: a power law, without and with a limit.

Alabdulmohsin et al. 2022, "Revisiting Neural Scaling Laws in Language and Vision"
(arXiv:2209.06640), section 3: M1 is beta x^c, M2 is beta x^c + eps_inf; c < 0 where losses fall.
With s the power's share of f, d log f = (s, s log x, 1 - s) d(log beta, c, log eps_inf).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from vitladder.laws.criterion import Matrix, Vector
from vitladder.laws.law import MAX_EXPONENT, MIN_EXPONENT, Law, coefficient
from vitladder.laws.power_sum import PowerSum, Term

EXPONENTS = np.concatenate([-np.geomspace(3.0, 0.02, 30), np.geomspace(0.02, 3.0, 10)])


def power_terms(u: Vector) -> Term:
    """beta x^c."""
    return Term((0, 1), np.array([np.ones_like(u), u]))


def falls(column: str, c: float) -> str | None:
    """Why a power x^c is no law of a falling loss, or None."""
    if c > -MIN_EXPONENT:
        return f"the loss does not fall with {column} in these runs"
    if c < -MAX_EXPONENT:
        return f"the exponent of {column} is not determined: it runs past {MAX_EXPONENT:g}"
    return None


@dataclass(frozen=True)
class M1(Law):
    """beta x^c."""

    column: str = "flops"

    name: ClassVar[str] = "m1"
    letters: ClassVar[tuple[str, ...]] = ("beta", "c")

    @property
    def inputs(self) -> tuple[str, ...]:
        """The one column."""
        return (self.column,)

    @property
    def formula(self) -> str:
        """In the paper's letters."""
        return f"beta {self.column}^c"

    def model(self, log_columns: Matrix) -> PowerSum:
        """One term."""
        return PowerSum(2, (power_terms(log_columns[0]),), ((1, EXPONENTS),))

    def natural(self, theta: Matrix, centres: Vector) -> Matrix:
        """beta = beta' / x^c at the centre x."""
        log_beta, c = theta.T
        return np.stack([coefficient(log_beta, -c * centres[0]), c], axis=1)

    def refuse(self, natural: Vector, reach: Matrix) -> str | None:
        """A power that rises or is a step."""
        return falls(self.column, float(natural[1]))


@dataclass(frozen=True)
class M2(Law):
    """beta x^c + eps_inf."""

    column: str = "flops"

    name: ClassVar[str] = "m2"
    letters: ClassVar[tuple[str, ...]] = ("beta", "c", "eps_inf")

    @property
    def inputs(self) -> tuple[str, ...]:
        """The one column."""
        return (self.column,)

    @property
    def formula(self) -> str:
        """In the paper's letters."""
        return f"beta {self.column}^c + eps_inf"

    def model(self, log_columns: Matrix) -> PowerSum:
        """A power and a constant."""
        u = log_columns[0]
        terms = (power_terms(u), Term((2,), np.ones((1, len(u)))))
        return PowerSum(3, terms, ((1, EXPONENTS),))

    def natural(self, theta: Matrix, centres: Vector) -> Matrix:
        """beta = beta' / x^c at the centre x."""
        log_beta, c, log_limit = theta.T
        beta = coefficient(log_beta, -c * centres[0])
        return np.stack([beta, c, coefficient(log_limit)], axis=1)

    def refuse(self, natural: Vector, reach: Matrix) -> str | None:
        """A power that is gone, rises or is a step."""
        gone = natural[0] <= 0
        return falls(self.column, 0.0 if gone else float(natural[1]))
