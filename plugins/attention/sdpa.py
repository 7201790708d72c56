"""torch's scaled_dot_product_attention, with the backend that torch picks."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from vitladder.extend.attention import AttentionKernel


@dataclass(frozen=True)
class Sdpa(AttentionKernel):
    """torch's scaled_dot_product_attention: fused where torch has a fused kernel."""

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
        """Pass on to torch; torch returns no log-sum-exp, so return_lse computes the scores."""
        mask = None if bias is None else bias.to(q.dtype)
        if causal:
            # torch's is_causal is aligned top-left; the contract asks for bottom-right.
            mask = _causal_bias(q, k) if mask is None else mask + _causal_bias(q, k)
        output = scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scale)
        return (output, _logsumexp(q, k, mask, scale)) if return_lse else output


def _causal_bias(q: Tensor, k: Tensor) -> Tensor:
    queries, keys = q.shape[-2], k.shape[-2]
    future = torch.full((queries, keys), float("-inf"), dtype=q.dtype, device=q.device)
    return future.triu(keys - queries + 1)


def _logsumexp(q: Tensor, k: Tensor, mask: Tensor | None, scale: float | None) -> Tensor:
    wide = torch.promote_types(q.dtype, torch.float32)
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    scores = (q.to(wide) * scale) @ k.to(wide).transpose(-2, -1)
    if mask is not None:
        scores = scores + mask
    masked = scores.amax(dim=-1) == float("-inf")
    finite = scores.masked_fill(masked.unsqueeze(-1), 0.0)
    return finite.logsumexp(dim=-1).masked_fill(masked, float("-inf"))
