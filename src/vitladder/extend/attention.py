"""AttentionKernel: what an attention plugin is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class AttentionSpec:
    """What a run will ask of its kernel."""

    device: str
    dtype: str
    head_dim: int
    bias: bool = False
    bias_grad: bool = False
    causal: bool = False


class AttentionKernel(ABC):
    """softmax(q kᵀ · scale + bias) v, computed in some way; a subclass's fields are its options.

    A plugin is one file with one such class, a dataclass whose fields have literal defaults.
    """

    @abstractmethod
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
        """Return the attention output, and with return_lse the log-sum-exp of every row too.

        q is [B, H, M, D], k and v are [B, H, N, D], in any strides. bias broadcasts to
        [B, H, M, N], is added after the scaling and may require a gradient. scale=None means
        D**-0.5. causal is aligned bottom-right: query i sees keys up to i + N - M. The output is
        [B, H, M, D] in q's dtype, the log-sum-exp [B, H, M] in float32 (float64 for float64
        input), natural log. A row with every key masked gives 0 and -inf, forward and backward.
        """

    def supports(self, spec: AttentionSpec) -> str | None:
        """Return why this kernel cannot serve the spec, or None when it can."""
        del spec
        return None
