"""Attention in float64 by its formulas, forward and backward, and the size of a rounding error.

No autograd and nothing of a kernel: S = scale q kᵀ + bias, P = exp(S - lse), O = P v, and
dS = P (dO vᵀ - rowsum(dO O) + dlse), from which dQ, dK and dBias follow
(Dao 2023, "FlashAttention-2", section 2.2, with the gradient of lse added).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

SINGLE = 2.0**-24
"""Unit roundoff of float32."""


@dataclass(frozen=True)
class Exact:
    """A result in float64, and per element one unit: the error that rounding alone explains."""

    value: Tensor
    unit: Tensor


@dataclass(frozen=True)
class Terms:
    """What the formulas share: probabilities, dS and the sums of absolute terms behind dS."""

    weights: Tensor
    d_scores: Tensor
    d_terms: Tensor
    output: Tensor
    lse: Tensor
    max_logit: float


def closed_form(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    bias: Tensor | None,
    d_output: Tensor,
    d_lse: Tensor | None,
    *,
    scale: float,
    visible: Tensor | None = None,
) -> dict[str, Exact]:
    """Return o, lse, dq, dk, dv and dbias; visible is bool [M, N], a bias of -inf elsewhere.

    A unit is (u_dtype + u_float32 (4 + max|logit|)) · Σ|terms| + underflow.
    """
    dtype = q.dtype
    Q, K, V, dO = (tensor.detach().cpu().double() for tensor in (q, k, v, d_output))
    t = _terms(Q, K, V, bias, dO, d_lse, scale, visible)
    u = torch.finfo(dtype).eps / 2 + SINGLE * (4 + t.max_logit)
    tiny = _underflow(dtype)

    def exact(value: Tensor, terms: Tensor, underflow: Tensor) -> Exact:
        return Exact(value, u * terms + tiny * (1 + underflow))

    one = torch.ones_like(t.weights)
    results = {
        "o": exact(t.output, t.weights @ V.abs(), one @ V.abs()),
        "lse": Exact(t.lse, SINGLE * (5 + t.max_logit) * torch.ones_like(t.lse)),
        "dq": exact(
            scale * t.d_scores @ K, abs(scale) * t.d_terms @ K.abs(), abs(scale) * (one @ K.abs())
        ),
        "dk": exact(
            scale * t.d_scores.mT @ Q,
            abs(scale) * t.d_terms.mT @ Q.abs(),
            abs(scale) * (one.mT @ Q.abs()),
        ),
        "dv": exact(t.weights.mT @ dO, t.weights.mT @ dO.abs(), one.mT @ dO.abs()),
    }
    if bias is not None:
        reduced = (x.sum_to_size(bias.shape) for x in (t.d_scores, t.d_terms, one))
        results["dbias"] = exact(*reduced)
    return results


def _terms(
    Q: Tensor,
    K: Tensor,
    V: Tensor,
    bias: Tensor | None,
    dO: Tensor,
    d_lse: Tensor | None,
    scale: float,
    visible: Tensor | None,
) -> Terms:
    scores = scale * Q @ K.mT
    if bias is not None:
        scores = scores + bias.detach().cpu().double()
    if visible is not None:
        scores = scores.masked_fill(~visible, float("-inf"))
    finite = scores[scores.isfinite()]
    # A row that sees nothing has lse = -inf and no weights.
    lse = torch.logsumexp(scores, dim=-1) if scores.numel() else scores.new_zeros(scores.shape[:-1])
    shift = lse.masked_fill(lse == float("-inf"), 0.0).unsqueeze(-1)
    weights = (scores - shift).exp()
    output = weights @ V
    g = torch.zeros_like(lse) if d_lse is None else d_lse.detach().cpu().double()
    delta = (dO * output).sum(-1)
    d_scores = weights * (dO @ V.mT - (delta - g).unsqueeze(-1))
    spread = (dO * output).abs().sum(-1) + g.abs()
    d_terms = weights * (dO.abs() @ V.abs().mT + spread.unsqueeze(-1))
    max_logit = float(finite.abs().max()) if finite.numel() else 0.0
    return Terms(weights, d_scores, d_terms, output, lse, max_logit)


def _underflow(dtype: torch.dtype) -> float:
    """Return what a factor may lose below the normal numbers; only float16's are near 1."""
    info = torch.finfo(dtype)
    return info.smallest_normal * info.eps if dtype == torch.float16 else info.smallest_normal


def visible_keys(queries: int, keys: int, causal: bool, sees: Tensor | None) -> Tensor | None:
    """Return which keys a query may see, bool [M, N], None for all; causal is bottom-right."""
    seen = None if sees is None else sees.cpu()
    if causal:
        future = torch.arange(keys) > torch.arange(queries).unsqueeze(1) + keys - queries
        seen = ~future if seen is None else seen & ~future
    return seen
