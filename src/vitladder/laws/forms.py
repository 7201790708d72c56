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
        matmul parameter is used once per token. Logs keep it finite for any exponent.
        """
        log_ratio = np.log(self.alpha * self.A) - np.log(self.beta * self.B)
        log_g = log_ratio / (self.alpha + self.beta)
        log_nd = np.log(flops / flops_per_param_image)
        return np.exp(log_g + self.a * log_nd), np.exp(-log_g + self.b * log_nd)

    def params(self) -> dict[str, float]:
        """The five parameters under their usual names."""
        return {
            "E": self.E,
            "A": self.A,
            "B": self.B,
            "alpha": self.alpha,
            "beta": self.beta,
        }


def flops_per_param_image(n_params: Vector, images: Vector, flops: Vector) -> float:
    """k in C = k N D: the geometric mean of C/(N D) over the runs.

    A ViT's C is 3 x forward matmul FLOPs, which is not 6 N D (every parameter meets all tokens of
    an image, and attention has no parameters), so the study's own ratio is used.
    """
    return float(np.exp(np.mean(np.log(flops) - np.log(n_params) - np.log(images))))
