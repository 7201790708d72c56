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
    Q, K, V, dO = (tensor.detach().cpu().double() for tensor in (q, k, v, d_output))
    t = _terms(Q, K, V, bias, dO, d_lse, scale, visible)
    results = {"lse": Exact(t.lse, SINGLE * (5 + t.max_logit) * torch.ones_like(t.lse))}
    for name, (value, terms, ones) in _sums(t, Q, K, V, dO, bias, scale).items():
        u = torch.finfo(q.dtype).eps / 2 + SINGLE * (4 + t.max_logit)
        results[name] = Exact(value, u * terms + _underflow(q.dtype) * (1 + ones))
    return results


def _sums(
    t: Terms, Q: Tensor, K: Tensor, V: Tensor, dO: Tensor, bias: Tensor | None, scale: float
) -> dict[str, tuple[Tensor, Tensor, Tensor]]:
    """Return o and the gradients, Σ|terms| of each, and Σ|terms| with weights and dS of 1."""
    one, size = torch.ones_like(t.weights), abs(scale)
    weights, dS, dS_terms = t.weights, t.d_scores, t.d_terms
    sums = {
        "o": (weights @ V, weights @ V.abs(), one @ V.abs()),
        "dq": (scale * dS @ K, size * dS_terms @ K.abs(), size * (one @ K.abs())),
        "dk": (scale * dS.mT @ Q, size * dS_terms.mT @ Q.abs(), size * (one.mT @ Q.abs())),
        "dv": (weights.mT @ dO, weights.mT @ dO.abs(), one.mT @ dO.abs()),
    }
    if bias is not None:
        reduced = [x.sum_to_size(bias.shape) for x in (dS, dS_terms, one)]
        sums["dbias"] = (reduced[0], reduced[1], reduced[2])
    return sums


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
    return Terms(weights, d_scores, d_terms, lse, max_logit)


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
