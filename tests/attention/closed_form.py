"""Attention and its gradients in float64, each as its formula reads (Dao 2023, section 2.2)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Result(NamedTuple):
    """What attention returns, and the gradients of <O, dO> + <lse, dlse>."""

    out: Tensor
    lse: Tensor
    dq: Tensor
    dk: Tensor
    dv: Tensor
    dbias: Tensor


class Call(NamedTuple):
    """One call of a kernel and what flows back into it."""

    q: Tensor
    k: Tensor
    v: Tensor
    bias: Tensor | None
    causal: bool
    scale: float
    dout: Tensor
    dlse: Tensor

    def solve(self) -> Result:
        """Return the answer in float64."""
        q, k, v, dout, dlse = (x.detach().double() for x in (*self[:3], self.dout, self.dlse))
        scores = q @ k.mT * self.scale
        if self.bias is not None:
            scores = scores + self.bias.detach().double()
        if self.causal:
            queries, keys = scores.shape[-2:]
            seen = torch.arange(keys) <= torch.arange(queries)[:, None] + keys - queries
            scores = scores.masked_fill(~seen, float("-inf"))
        lse = scores.logsumexp(-1)
        masked = lse == float("-inf")
        weights = (scores - lse.masked_fill(masked, 0)[..., None]).exp()
        out = weights @ v
        delta = (dout * out).sum(-1) - dlse.masked_fill(masked, 0)
        slope = weights * (dout @ v.mT - delta[..., None])
        dbias = slope if self.bias is None else slope.sum_to_size(self.bias.shape)
        return Result(
            out, lse, slope @ k * self.scale, slope.mT @ q * self.scale, weights.mT @ dout, dbias
        )


def random_call(
    shape: tuple[int, int, int, int, int],
    *,
    bias: tuple[int, ...] | None = None,
    causal: bool = False,
    scale: float | None = None,
    dtype: torch.dtype = torch.float32,
    seed: int = 0,
) -> Call:
    """Draw a call of [B, H, M, N, D] whose leaves require gradients."""
    random = torch.Generator().manual_seed(seed)

    def draw(*sizes: int, dtype: torch.dtype = dtype) -> Tensor:
        return torch.randn(sizes, generator=random).to(dtype)

    batch, heads, queries, keys, head_dim = shape
    leaves = [draw(batch, heads, rows, head_dim).requires_grad_() for rows in (queries, keys, keys)]
    added = None if bias is None else draw(*bias, dtype=torch.float32).requires_grad_()
    return Call(
        *leaves,
        added,
        causal,
        head_dim**-0.5 if scale is None else scale,
        draw(batch, heads, queries, head_dim),
        draw(batch, heads, queries, dtype=torch.float32),
    )
