"""The parametric law and its K-term generalisation: L = E + sum_k c_k / x_k^e_k.

Hoffmann et al. 2022 (arXiv:2203.15556), equation 2, for x = (N, D): E + A/N^alpha + B/D^beta. With
s_k the k-th term's share of L, d log L / d log c_k = s_k and d log L / d e_k = -s_k log x_k.

On the open data of Besiroglu et al. 2024 (arXiv:2404.10102) without its five highest losses, the
optimum of Huber's loss with delta = 1e-3 is A = 477.83, B = 2143.4; the often quoted 482.01 and
2085.43 are the optimum of least absolute deviation.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Any, ClassVar

import numpy as np

from vitladder.laws.criterion import Matrix, Vector
from vitladder.laws.law import MAX_EXPONENT, MIN_EXPONENT, Law, coefficient
from vitladder.laws.power_sum import PowerSum, Term

GRID_POINTS = 200  # of starts, over all exponents together
GRID = (0.05, 2.0)  # of exponents
MIN_SPREAD = 0.02  # of a log column around its line in another: below it one follows from the other


@dataclass(frozen=True)
class Additive(Law):
    """E + sum_k c_k / x_k^e_k over `inputs`; theta = (log E, log c_1', e_1, log c_2', e_2, ...)."""

    columns: tuple[str, ...] = ("n_params", "images")

    name: ClassVar[str] = "parametric"

    @property
    def inputs(self) -> tuple[str, ...]:
        """The columns of the terms."""
        return self.columns

    @property
    def formula(self) -> str:
        """In the letters of Hoffmann et al. for two terms."""
        coefficients, exponents = self.letters[1::2], self.letters[2::2]
        terms = zip(coefficients, self.columns, exponents, strict=True)
        return " + ".join(["E", *(f"{c}/{x}^{e}" for c, x, e in terms)])

    @property
    def letters(self) -> tuple[str, ...]:
        """E, A, alpha, B, beta for two terms, else E, c_x, e_x for each column x."""
        if len(self.columns) == 2:
            return "E", "A", "alpha", "B", "beta"
        pairs = ((f"c_{column}", f"e_{column}") for column in self.columns)
        return ("E", *(name for pair in pairs for name in pair))

    def model(self, log_columns: Matrix) -> PowerSum:
        """A constant, and a term for each column."""
        ones = np.ones(log_columns.shape[1])
        terms = [Term((0,), ones[None])]
        for k, log_x in enumerate(log_columns):
            terms.append(Term((2 * k + 1, 2 * k + 2), np.array([ones, -log_x])))
        points = max(3, int(GRID_POINTS ** (1 / len(self.columns)) + 1e-9))
        grid = tuple((2 * k + 2, np.geomspace(*GRID, points)) for k in range(len(log_columns)))
        return PowerSum(1 + 2 * len(log_columns), tuple(terms), grid)

    def natural(self, theta: Matrix, centres: Vector) -> Matrix:
        """c_k = c_k' exp(e_k * centre_k)."""
        natural = theta.copy()
        natural[:, 0] = coefficient(theta[:, 0])
        natural[:, 1::2] = coefficient(theta[:, 1::2], theta[:, 2::2] * centres)
        return natural

    def refuse(self, natural: Vector, reach: Matrix) -> str | None:
        """A term that is gone, that rises, or that is a step."""
        for column, scale, exponent in zip(self.columns, natural[1::2], natural[2::2], strict=True):
            if scale <= 0 or exponent < MIN_EXPONENT:
                return f"the loss does not fall with {column} in these runs"
            if exponent > MAX_EXPONENT:
                return f"the exponent of {column} is not determined: it runs past {MAX_EXPONENT:g}"
        return None

    def params(self, natural: Vector) -> dict[str, Any]:
        """E, A, B, alpha, beta for two terms; `coef` and `exp` lists in any case."""
        found: dict[str, Any] = {"E": float(natural[0])}
        if len(self.columns) == 2:
            found |= {
                name: float(natural[self.letters.index(name)])
                for name in ("A", "B", "alpha", "beta")
            }
        lists = {"coef": natural[1::2].tolist(), "exp": natural[2::2].tolist()}
        return found | lists

    def tied(self, theta: Vector, log_columns: Matrix) -> Vector | None:
        """Exponents under which two columns that follow from each other have one term in common."""
        for first, other in combinations(range(len(log_columns)), 2):
            slope = _slope(log_columns[first], log_columns[other])
            if slope is not None and slope > 0:
                return _tied(theta, 2 * first + 1, 2 * other + 1, slope)
        return None


def _tied(theta: Vector, first: int, other: int, slope: float) -> Vector:
    """Two terms, by the places of their log coefficients, made one that each has half of."""
    tied = theta.copy()
    both = np.logaddexp(theta[first], theta[other])
    share = np.exp(theta[first] - both)
    exponent = share * theta[first + 1] + (1 - share) * slope * theta[other + 1]
    tied[first] = tied[other] = both - np.log(2)
    tied[first + 1], tied[other + 1] = exponent, exponent / slope
    return tied


def _slope(first: Vector, other: Vector) -> float | None:
    """d other / d first where other follows from first (both centred logs), else None."""
    if not first.any():
        return None
    slope = float(first @ other / (first @ first))
    return slope if float((other - slope * first).std()) < MIN_SPREAD else None
