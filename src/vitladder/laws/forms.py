"""The parametric scaling law: its prediction and its compute-optimal size and data.

Hoffmann et al. 2022 (arXiv:2203.15556), equation 2, approach 3.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]

FORM = "E + A/N^alpha + B/D^beta"


@dataclass(frozen=True)
class ParametricLaw:
    """L(N, D) = E + A/N^alpha + B/D^beta; N in parameters, D in images (or tokens), L in nats."""

    E: float
    A: float
    B: float
    alpha: float
    beta: float

    def loss(self, n_params: Vector, images: Vector) -> Vector:
        """The predicted loss for each pair (N, D)."""
        predicted: Vector = self.E + self.A * n_params**-self.alpha + self.B * images**-self.beta
        return predicted

    @property
    def a(self) -> float:
        """The exponent of N* in C: beta / (alpha + beta) (Hoffmann et al., equation 4)."""
        return self.beta / (self.alpha + self.beta)

    @property
    def b(self) -> float:
        """The exponent of D* in C: alpha / (alpha + beta); a + b = 1."""
        return self.alpha / (self.alpha + self.beta)

    def optimal(self, flops: Vector, flops_per_param_image: float) -> tuple[Vector, Vector]:
        """N* and D* that minimise the loss at each C = k N D (Hoffmann et al., equation 4).

        `flops_per_param_image` is k: 6 for dense language models, larger for ViTs because a
        matmul parameter is used once per token.
        """
        law = np.array([[self.E, self.A, self.alpha, self.B, self.beta]])
        sizes, images, _ = split(law, np.asarray(flops), flops_per_param_image)
        return sizes, images

    def params(self) -> dict[str, float]:
        """The five parameters under their usual names."""
        return {
            "E": self.E,
            "A": self.A,
            "B": self.B,
            "alpha": self.alpha,
            "beta": self.beta,
        }


def split(
    laws: NDArray[np.float64], flops: Vector | float, k: float
) -> tuple[Vector, Vector, Vector]:
    """N*, D* and the loss of laws (E, A, alpha, B, beta) [laws, 5] at C = k N D.

    Where alpha A/N^alpha = beta B/D^beta. One law at several C, or several laws at one.
    """
    e, a, alpha, b, beta = laws.T
    log_nd = np.log(np.asarray(flops) / k)
    log_g = (np.log(alpha * a) - np.log(beta * b)) / (alpha + beta)
    log_n = log_g + log_nd * beta / (alpha + beta)
    log_d = log_nd - log_n
    loss = e + a * np.exp(-alpha * log_n) + b * np.exp(-beta * log_d)
    return np.exp(log_n), np.exp(log_d), loss


def flops_per_param_image(n_params: Vector, images: Vector, flops: Vector) -> float:
    """k in C = k N D: the geometric mean of C/(N D) over the runs.

    A ViT's C is 3 x forward matmul FLOPs, which is not 6 N D (every parameter meets all tokens of
    an image, and attention has no parameters), so the study's own ratio is used.
    """
    return float(np.exp(np.mean(np.log(flops) - np.log(n_params) - np.log(images))))
