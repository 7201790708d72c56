"""torch's FlexAttention, with score modifications from the config."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import ClassVar, cast

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import AuxOutput, AuxRequest, flex_attention

from vitladder.extend.attention import AttentionKernel, AttentionShape, AttentionSpec

ScoreMod = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]
"""(score, batch, head, query, key) -> score; what FlexAttention compiles into its kernel."""

Attend = Callable[..., Tensor | tuple[Tensor, AuxOutput]]


@dataclass(frozen=True)
class Flex(AttentionKernel):
    """torch's FlexAttention; softcap > 0 bounds scores to softcap tanh(score / softcap).

    Soft-capping is that of Gemma 2 (Riviere et al. 2024, section 2), before any bias.
    """

    softcap: float = 0.0
    linear_memory: ClassVar[bool] = True

    def supports(self, spec: AttentionSpec) -> str | None:
        """Refuse what FlexAttention cannot train on."""
        if spec.device != "cuda":
            return f"FlexAttention has no backward on {spec.device}; attention=sdpa works there"
        if spec.head_dim < 16:
            return f"FlexAttention needs a head_dim of 16 or more, not {spec.head_dim}"
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
        """Pass on to torch, compiled; FlexAttention without compilation keeps every score."""
        if bias is not None:
            bias = bias[(None,) * (4 - bias.ndim)]
        modify = self._score_mod(bias, causal, k.shape[-2] - q.shape[-2])
        attend = _compiled() if q.is_cuda else cast(Attend, flex_attention)
        asked = AuxRequest(lse=True) if return_lse else None
        done = attend(q, k, v, score_mod=modify, scale=scale, return_aux=asked)
        return (done[0], cast(Tensor, done[1].lse)) if isinstance(done, tuple) else done

    def saved_bytes(self, shape: AttentionShape, element_size: int) -> int:
        """Return the bytes of the log-sum-exp, in float32."""
        del element_size
        return 4 * shape.batch * shape.heads * shape.queries

    def _score_mod(self, bias: Tensor | None, causal: bool, offset: int) -> ScoreMod | None:
        """Return soft-capping, then the bias, then the mask as one function, None for neither."""
        softcap = self.softcap
        if not softcap and bias is None and not causal:
            return None
        sizes = bias.shape if bias is not None else ()

        def modify(
            score: Tensor, batch: Tensor, head: Tensor, query: Tensor, key: Tensor
        ) -> Tensor:
            if softcap:
                score = softcap * torch.tanh(score / softcap)
            if bias is not None:
                wanted = (batch, head, query, key)
                places = [i if size > 1 else i * 0 for i, size in zip(wanted, sizes, strict=True)]
                score = score + bias[places[0], places[1], places[2], places[3]]
            if causal:
                score = torch.where(key <= query + offset, score, float("-inf"))
            return score

        return modify


@cache
def _compiled() -> Attend:
    """Return FlexAttention compiled; torch keeps one kernel for each shape that comes."""
    return cast(Attend, torch.compile(flex_attention, dynamic=False))
