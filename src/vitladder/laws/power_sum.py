"""Sums of power laws: log f = log sum_k exp(slopes_k . theta), with exact derivatives in batches.

L(N, D) = E + A/N^alpha + B/D^beta is three such terms, each linear in its log coefficient and its
exponents, and so are K-term laws and the shape law. With shares s_k = exp(slopes_k . theta) / f the
gradient of log f is J = sum_k s_k slopes_k, and its Hessian sum_k s_k slopes_k slopes_k^T - J J^T.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from vitladder.laws.criterion import Matrix, Vector
from vitladder.laws.newton import Floors

ZERO = 1e-12  # of the lowest loss: a smaller coefficient (of centred columns) is zero
REVIVED = 1e-3  # a term that is zero in a start gets this share, so that it can grow


@dataclass(frozen=True)
class Term:
    """exp(slopes . theta[indices]): the first index is the log coefficient, the others exponents.

    `slopes`: [indices, rows]; ones for the coefficient, minus the centred log column for an
    exponent that divides, plus it for one that multiplies.
    """

    indices: tuple[int, ...]
    slopes: Matrix


@dataclass(frozen=True)
class PowerSum:
    """A model (see `model.Model`) of terms over `size` parameters.

    `grid` lists the values that a search of starts tries for each exponent, by its index.
    """

    size: int
    terms: tuple[Term, ...]
    grid: tuple[tuple[int, Vector], ...]

    def log_prediction(self, theta: Matrix) -> Matrix:
        """Log f [fits, rows]."""
        return self.at(theta).log_prediction

    def at(self, theta: Matrix) -> PowerSumPlace:
        """Log f and each term's share of f, safe for any theta."""
        logs = self._logs(theta)
        top = logs[0].copy()
        for log in logs[1:]:
            np.maximum(top, log, out=top)
        shares = [np.exp(log - top) for log in logs]
        total = sum(shares[1:], start=shares[0].copy())
        for share in shares:
            share /= total
        return PowerSumPlace(self, top + np.log(total), shares)

    def starts(self, target: Vector) -> Matrix:
        """A theta for each point of the grid, with the best non-negative coefficients there.

        Variable projection (Golub & Pereyra 1973): at fixed exponents the coefficients of least
        squared relative error solve a linear problem.
        """
        found = []
        # A loss of next to nothing leaves no room for terms in units of it.
        target = np.maximum(target, np.finfo(float).tiny * 1e16)
        for exponents in product(*(values for _, values in self.grid)):
            theta = np.zeros((1, self.size))
            theta[0, [index for index, _ in self.grid]] = exponents
            basis = np.exp(np.concatenate(self._logs(theta))) / target
            both = np.vstack([basis, np.ones_like(target)])
            triangle = np.asarray(np.linalg.qr(both.T, mode="r"))
            coefficients, _ = nnls(triangle[:, :-1], triangle[:, -1])
            lowest = REVIVED * target.min() / np.maximum(basis * target, 1e-300).max(axis=1)
            for term, coefficient, least in zip(self.terms, coefficients, lowest, strict=True):
                theta[0, term.indices[0]] = np.log(max(coefficient, least))
            found.append(theta[0])
        return np.array(found)

    def floors(self, target: Vector) -> Floors:
        """Coefficients count as zero below 1e-12 of the lowest loss; their own exponents go too."""
        lowest = np.full(self.size, -np.inf)
        companions = {}
        for term in self.terms:
            lowest[term.indices[0]] = np.log(ZERO * target.min())
            elsewhere = {i for other in self.terms if other is not term for i in other.indices}
            companions[term.indices[0]] = tuple(set(term.indices[1:]) - elsewhere)
        return Floors(lowest, companions)

    def _logs(self, theta: Matrix) -> list[Matrix]:
        return [theta[:, term.indices] @ term.slopes for term in self.terms]


@dataclass(frozen=True)
class PowerSumPlace:
    """See `model.Place`; `shares` holds each term's part of f [fits, rows]."""

    model: PowerSum
    log_prediction: Matrix
    shares: Sequence[Matrix]

    def gradient(self, pull: Matrix) -> Matrix:
        """The sum over rows of pull J."""
        total = np.zeros((len(pull), self.model.size))
        for term, share in zip(self.model.terms, self.shares, strict=True):
            total[:, term.indices] += (pull * share) @ term.slopes.T
        return total

    def hessian(self, curve: Matrix, pull: Matrix) -> NDArray[np.float64]:
        """The sum over rows of (curve + pull) J J^T - pull sum_k s_k slopes_k slopes_k^T."""
        total = self.outer(curve + pull)
        every = range(len(pull))
        for term, share in zip(self.model.terms, self.shares, strict=True):
            total[np.ix_(every, term.indices, term.indices)] -= _block(pull * share, term, term)
        return total

    def outer(self, weight: Matrix) -> NDArray[np.float64]:
        """The sum over rows of weight J J^T, from each pair of terms."""
        size, terms = self.model.size, self.model.terms
        total = np.zeros((len(weight), size, size))
        every = range(len(weight))
        for k, (first, share) in enumerate(zip(terms, self.shares, strict=True)):
            weighted = weight * share
            own = _block(weighted * share, first, first)
            total[np.ix_(every, first.indices, first.indices)] += own
            for other, other_share in zip(terms[k + 1 :], self.shares[k + 1 :], strict=True):
                block = _block(weighted * other_share, first, other)
                total[np.ix_(every, first.indices, other.indices)] += block
                total[np.ix_(every, other.indices, first.indices)] += np.swapaxes(block, 1, 2)
        return total

    def jacobian(self) -> NDArray[np.float64]:
        """J [fits, P, rows]."""
        total = np.zeros((len(self.shares[0]), self.model.size, self.shares[0].shape[1]))
        for term, share in zip(self.model.terms, self.shares, strict=True):
            total[:, term.indices] += share[:, None] * term.slopes
        return total


def _block(weight: Matrix, first: Term, other: Term) -> NDArray[np.float64]:
    """The sum over rows of weight first.slopes other.slopes^T: [fits, first, other]."""
    outer = (first.slopes[:, None] * other.slopes).reshape(-1, weight.shape[1])
    return (weight @ outer.T).reshape(-1, len(first.indices), len(other.indices))
