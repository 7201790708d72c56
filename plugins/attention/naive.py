"""Attention as its definition reads: every score is computed and kept."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vitladder.extend.attention import AttentionKernel, AttentionShape
from vitladder.extend.precise import (
    logsumexp_rows,
    softmax_rows,
    wide_dtype,
    without_autocast,
)


@dataclass(frozen=True)
class Naive(AttentionKernel):
    """softmax(q kᵀ · scale + bias) v, as the definition reads; memory grows with seq²."""

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
        """Compute in float32 or better, also under autocast; Vaswani et al. 2017, eq. 1."""
        scale = q.shape[-1] ** -0.5 if scale is None else scale
        with without_autocast(q):
            wide = wide_dtype(q)
            scores = (q.to(wide) * scale) @ k.to(wide).mT
            if bias is not None:
                scores = scores + bias
            if causal:
                scores = scores.masked_fill(_future(scores), float("-inf"))
            all_see = bias is None and not causal
            weights = scores.softmax(dim=-1) if all_see else softmax_rows(scores)
            output = (weights @ v.to(wide)).to(q.dtype)
            return (output, logsumexp_rows(scores)) if return_lse else output

    def saved_bytes(self, shape: AttentionShape, element_size: int) -> int:
        """Return the bytes of the weights, the scaled q, and of k and v where they are widened.

        With a bias a row may see no key: its weights are kept before and after they are made 0.
        """
        wide = max(4, element_size)
        rows = shape.queries if wide == element_size else shape.queries + 2 * shape.keys
        weights = 2 if shape.bias else 1
        elements = weights * shape.queries * shape.keys + rows * shape.head_dim
        masks = 2 * shape.queries if shape.bias else 0
        return shape.batch * shape.heads * (elements * wide + masks)

    def kept_inputs(self, shape: AttentionShape, element_size: int) -> int:
        """Return 2: k and v where they are not widened; q is scaled first."""
        return 2 if element_size >= 4 else 0


def _future(scores: Tensor) -> Tensor:
    queries, keys = scores.shape[-2:]
    return torch.ones(queries, keys, dtype=torch.bool, device=scores.device).triu(
        keys - queries + 1
    )
