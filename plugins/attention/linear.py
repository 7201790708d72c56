"""Attention in linear time: the softmax is estimated with random features."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import ClassVar

import torch
from torch import Tensor

from vitladder.extend.attention import (
    AttentionFlops,
    AttentionKernel,
    AttentionShape,
    AttentionSpec,
)
from vitladder.extend.precise import wide_dtype, without_autocast


@dataclass(frozen=True)
class Linear(AttentionKernel):
    """Performer: exp(q·k) as a mean over positive orthogonal random features (Choromanski 2021).

    FAVOR+ (section 2.3 and 2.4, eq. 7): unbiased, with an error that falls as features^-1/2.
    """

    features: int = 256
    seed: int = 0
    exact: ClassVar[bool] = False
    linear_memory: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Refuse a kernel without features."""
        if self.features < 1:
            raise ValueError(f"attention.features={self.features} must be 1 or more")

    def supports(self, spec: AttentionSpec) -> str | None:
        """Refuse what needs the scores themselves: a bias and causal attention."""
        if spec.bias:
            return "a bias on the scores (scores are never formed); position=rope_axial works"
        if spec.causal:
            return "causal attention"
        return super().supports(spec)

    def __call__(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        *,
        bias: Tensor | None = None,
        causal: bool = False,
        scale: float | None = None,
        return_lse: bool = False,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Return phi(q) (phi(k)ᵀ v) / (phi(q) Σ phi(k)), in float32 or better."""
        if bias is not None or causal:
            raise ValueError("linear attention has no bias and no causal form")
        scale = q.shape[-1] ** -0.5 if scale is None else scale
        with without_autocast(q):
            wide = wide_dtype(q)
            features, top = self._features(q.to(wide), k.to(wide), scale)
            of_q, of_k = features
            total = (of_q * of_k.sum(dim=-2, keepdim=True)).sum(dim=-1, keepdim=True)
            # Features of far-apart q and k can all underflow; the row is then 0 instead of 0 / 0.
            total = total.clamp_min(torch.finfo(wide).tiny)
            output = (of_q @ (of_k.mT @ v.to(wide)) / total).to(q.dtype)
            if not return_lse:
                return output
            return output, ((total / self.features).log() + top).squeeze(-1)

    def _features(self, q: Tensor, k: Tensor, scale: float) -> tuple[tuple[Tensor, Tensor], Tensor]:
        """Return phi(q) / exp(a) and phi(k) / exp(b), and a + b, which keep exp in range.

        Any a for a query and one b for all keys cancel in the output.
        """
        projection = _projection(self.features, q.shape[-1], self.seed).to(q)
        # Half of the scale for q, half for k, so that their product is the scaled score.
        root = abs(scale) ** 0.5
        q_log = _log_features(q * root, projection)
        k_log = _log_features(k * math.copysign(root, scale), projection)
        q_top = q_log.detach().amax(dim=-1, keepdim=True)
        k_top = k_log.detach().amax(dim=(-2, -1), keepdim=True)
        return ((q_log - q_top).exp(), (k_log - k_top).exp()), q_top + k_top

    def refined(self) -> Linear:
        """Return the kernel with four times the features, half the error."""
        return replace(self, features=4 * self.features)

    def saved_bytes(self, shape: AttentionShape, element_size: int) -> int:
        """Return the bytes of the features and what they are made of, all linear in seq."""
        wide = max(4, element_size)
        queries, keys, width = shape.queries, shape.keys, shape.head_dim
        elements = (queries + keys) * (self.features + width)
        elements += queries * width + 2 * queries + self.features * (width + 1)
        if wide != element_size:
            elements += keys * width
        return shape.batch * shape.heads * elements * wide + self.features * width * wide

    def working_bytes(self, shape: AttentionShape, element_size: int) -> int:
        """Return the bytes of three gradients of features: from both products, and of the exp."""
        features = shape.batch * shape.heads * shape.queries * self.features
        return 3 * features * max(4, element_size)

    def kept_inputs(self, shape: AttentionShape, element_size: int) -> int:
        """Return 1: v where it is not widened; q and k are scaled first."""
        return 1 if element_size >= 4 else 0

    def flops(self, shape: AttentionShape) -> AttentionFlops:
        """Return the FLOPs of the features, and of their products with the values."""
        product = 2 * shape.batch * shape.heads * self.features * shape.head_dim
        return AttentionFlops(
            scores=product * shape.keys,
            values=product * shape.queries,
            features=product * (shape.queries + shape.keys),
        )


def _log_features(x: Tensor, projection: Tensor) -> Tensor:
    """Return w·x - |x|²/2 for every feature w, [..., features]."""
    logs: Tensor = x @ projection.mT - x.square().sum(dim=-1, keepdim=True) / 2
    return logs


@lru_cache(maxsize=16)
def _rows(features: int, head_dim: int, seed: int) -> list[list[float]]:
    """Return orthogonal Gaussian features as numbers, which know no device and no mode."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*size: int) -> Tensor:
        return torch.randn(*size, generator=generator, dtype=torch.float64, device="cpu")

    def rotation() -> Tensor:
        # Without the signs the first entries of Q are never positive, and the features biased.
        factors = torch.linalg.qr(normal(head_dim, head_dim))
        turned: Tensor = factors.Q * factors.R.diagonal().sign()
        return turned.mT

    blocks = -(-features // head_dim)
    square = [rotation() for _ in range(blocks)]
    # An orthogonal direction with the length of a Gaussian vector.
    lengths = normal(blocks * head_dim, head_dim).norm(dim=1, keepdim=True)
    rows: list[list[float]] = (torch.cat(square) * lengths)[:features].tolist()
    return rows


def _projection(features: int, head_dim: int, seed: int) -> Tensor:
    """Return the features [features, head_dim] in float64."""
    return torch.tensor(_rows(features, head_dim, seed), dtype=torch.float64)
