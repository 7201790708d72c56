"""Estimator M4: (y - eps_inf) / (eps_0 - y)^alpha = beta x^c, solved for y.

Alabdulmohsin et al. 2022 (arXiv:2209.06640), section 3: a sigmoid between the loss of a guess eps_0
and the limit eps_inf, with a power law at its end; c < 0.

With G = eps_0 - eps_inf, y = eps_inf + G z, z = 1 / (1 + e^-l) and p(l) = log(1 + e^l), l solves
h(l) = -p(-l) + alpha p(l) = log beta + c log x - (1 - alpha) log G, of slope
h' = 1 - z + alpha z. Its derivatives are those of an implicit function:
dl = (d log beta + log x dc - (1 - alpha) d log G + (log G - p(l)) d alpha) / h'.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import ClassVar

import numpy as np

from vitladder.laws.criterion import Matrix, Vector
from vitladder.laws.curve import Curve, Numbers, log1p_exp, sigmoid
from vitladder.laws.law import Law, coefficient
from vitladder.laws.newton import GONE, Floors
from vitladder.laws.power import falls

SOLVE_STEPS = 60
NEVER_ZERO = 1e-300  # with alpha = 0 the slope of h vanishes at large l
ABOVE = (0.003, 0.02, 0.1, 0.4, 1.5)  # of eps_0 over the highest loss, in starts
BELOW = (1e-3, 0.3, 0.6, 0.8, 0.9, 0.97)  # of eps_inf to the lowest loss


@dataclass(frozen=True)
class M4(Law):
    """theta = (log eps_inf, log G, log beta', c, log alpha)."""

    column: str = "flops"

    name: ClassVar[str] = "m4"
    refined: ClassVar[int] = 24
    letters: ClassVar[tuple[str, ...]] = ("beta", "c", "eps_inf", "eps_0", "alpha")

    @property
    def inputs(self) -> tuple[str, ...]:
        """The one column."""
        return (self.column,)

    @property
    def formula(self) -> str:
        """In the paper's letters."""
        return f"(y - eps_inf) / (eps_0 - y)^alpha = beta {self.column}^c"

    def model(self, log_columns: Matrix) -> Curve:
        """At the rows of the one column."""
        return Curve(self, 5, log_columns[0])

    def natural(self, theta: Matrix, centres: Vector) -> Matrix:
        """beta = beta' / x^c at the centre x."""
        log_limit, log_gap, log_beta, c, log_alpha = theta.T
        limit, beta = coefficient(log_limit), coefficient(log_beta, -c * centres[0])
        guess = limit + coefficient(log_gap)
        return np.stack([beta, c, limit, guess, coefficient(log_alpha)], axis=1)

    def refuse(self, natural: Vector, reach: Matrix) -> str | None:
        """A curve that rises or is a step, or has no upper end: then it is M2."""
        if natural[4] == 0:
            return "alpha is 0: no eps_0 shows in these runs, m2 is the same law"
        return falls(self.column, float(natural[1]))

    def solve(self, theta: Matrix, u: Vector) -> Matrix:
        """l of each fit and row, by Newton's method from the nearer asymptote of h.

        The slope of h is monotone, so that it converges from anywhere.
        """
        aim, alpha = _aim(theta, u), _scales(theta)[2]
        at: Matrix = np.where(aim < 0, aim, aim / np.maximum(alpha, 1e-3)).real
        for _ in range(SOLVE_STEPS):
            step = np.real(_newton(theta, at, u))
            at = at - step
            if not np.any(np.abs(step) > 1e-9 * (1 + np.abs(at))):
                break
        return at

    def log_value(self, theta: Matrix, u: Vector, solved: Vector | None) -> Matrix:
        """Log y."""
        limit, gap, _ = _scales(theta)
        return np.real(np.log(limit + gap * sigmoid(np.asarray(solved))))

    def log_gradient(self, theta: Numbers, u: Vector, solved: Vector | None) -> Numbers:
        """See the top of this file.

        A step in complex numbers carries the derivatives of a complex theta into l.
        """
        at = np.asarray(solved) - _newton(theta, np.asarray(solved), u)
        limit, gap, alpha = _scales(theta)
        log_gap = theta[:, 1, None]
        z, rest = sigmoid(at), sigmoid(-at)
        y = limit + gap * z
        # d log y / d l over h'; where rest underflows, the curve is at eps_0 and no longer moves.
        per_l = gap * z * rest / (rest + alpha * z + NEVER_ZERO) / y
        return np.stack(
            [
                limit / y,
                gap * z / y - (1 - alpha) * per_l,
                per_l * np.ones_like(u),
                per_l * u,
                alpha * (log_gap - log1p_exp(at)) * per_l,
            ],
            axis=1,
        )

    def curve_starts(self, u: Vector, target: Vector) -> Matrix:
        """Over both ends; alpha, beta and c solve a linear problem at each."""
        found = []
        for below, above in product(BELOW, ABOVE):
            limit, guess = below * target.min(), (1 + above) * target.max()
            line = np.stack([np.ones_like(u), u, np.log(guess - target)], axis=1)
            solved = np.linalg.lstsq(line, np.log(target - limit), rcond=None)[0]
            log_beta, c, alpha = solved
            found.append(
                [np.log(limit), np.log(guess - limit), log_beta, c, np.log(max(alpha, 1e-2))]
            )
        return np.array(found)

    def curve_floors(self, u: Vector, target: Vector) -> Floors:
        """eps_inf of the lowest loss; without alpha nothing tells eps_0."""
        low = float(np.log(1e-12 * target.min()))
        return Floors(np.array([low, -np.inf, -np.inf, -np.inf, np.log(1e-9)]), {4: (1,)})


def _scales(theta: Numbers) -> tuple[Numbers, Numbers, Numbers]:
    """eps_inf, G and alpha."""
    log_limit, log_gap, log_alpha = (theta[:, index, None] for index in (0, 1, 4))
    gone = np.real(log_alpha) <= GONE
    alpha = np.where(gone, 0, np.exp(log_alpha))
    return np.exp(log_limit), np.exp(log_gap), np.asarray(alpha)


def _aim(theta: Numbers, u: Vector) -> Numbers:
    """log beta + c log x - (1 - alpha) log G."""
    _, _, alpha = _scales(theta)
    log_gap, log_beta, c = (theta[:, index, None] for index in (1, 2, 3))
    return np.asarray(log_beta + c * u - (1 - alpha) * log_gap)


def _newton(theta: Numbers, at: Numbers, u: Vector) -> Numbers:
    """Newton's step to take off l."""
    _, _, alpha = _scales(theta)
    z = sigmoid(at)
    h = alpha * log1p_exp(at) - log1p_exp(-at)
    return np.asarray((h - _aim(theta, u)) / (sigmoid(-at) + alpha * z + NEVER_ZERO))
