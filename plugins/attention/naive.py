"""Attention as its definition reads: every score is computed and kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

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
    """softmax(q kᵀ · scale + bias) v, as the definition reads; memory grows with seq².

    `products` says in which dtype both products are: float32 or better ("wide"), or the inputs'
    own ("input"), which rounds scores and weights to it, as an attention written in torch does
    under autocast: 2.4 times the error of "wide", and beyond the conformance kit's bounds. The
    softmax and the log-sum-exp are wide in both.
    """

    variants: ClassVar[tuple[Mapping[str, str], ...]] = ({"products": "input"},)

    products: Literal["wide", "input"] = "wide"

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
        """Compute in the dtypes of `products`, also under autocast; Vaswani et al. 2017, eq. 1."""
        scale = q.shape[-1] ** -0.5 if scale is None else scale
        with without_autocast(q):
            wide = wide_dtype(q)
            narrow = wide if self.products == "wide" or return_lse else q.dtype
            scores = ((q.to(narrow) * scale) @ k.to(narrow).mT).to(wide)
            if bias is not None:
                scores = scores + bias
            if causal:
                scores = scores.masked_fill(_future(scores), float("-inf"))
            all_see = bias is None and not causal
            weights = scores.softmax(dim=-1) if all_see else softmax_rows(scores)
            output = (weights.to(narrow) @ v.to(narrow)).to(q.dtype)
            return (output, logsumexp_rows(scores)) if return_lse else output

    def saved_bytes(self, shape: AttentionShape, element_size: int) -> int:
        """Return the bytes of the weights, the scaled q, and of k and v where they are widened.

        The weights are kept as the softmax's and as the product's: two tensors where they are
        rounded between, or, with a bias, made 0 in a row that sees no key.
        """
        wide = max(4, element_size)
        scores = shape.queries * shape.keys
        if self._narrow(element_size):
            kept = scores * wide + (scores + shape.queries * shape.head_dim) * element_size
        else:
            rows = shape.queries if wide == element_size else shape.queries + 2 * shape.keys
            kept = ((2 if shape.bias else 1) * scores + rows * shape.head_dim) * wide
        masks = 2 * shape.queries if shape.bias else 0
        return shape.batch * shape.heads * (kept + masks)

    def kept_inputs(self, shape: AttentionShape, element_size: int) -> int:
        """Return 2: k and v where they are not widened; q is scaled first."""
        return 2 if element_size >= 4 or self._narrow(element_size) else 0

    def _narrow(self, element_size: int) -> bool:
        return self.products == "input" and element_size < 4


def _future(scores: Tensor) -> Tensor:
    queries, keys = scores.shape[-2:]
    return torch.ones(queries, keys, dtype=torch.bool, device=scores.device).triu(
        keys - queries + 1
    )
