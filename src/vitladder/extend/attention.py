"""AttentionKernel: what an attention plugin is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class AttentionSpec:
    """What a run will ask of its kernel; dtype is torch's name, such as "bfloat16"."""

    device: str
    dtype: str
    head_dim: int
    bias: bool = False
    bias_grad: bool = False
    causal: bool = False
    dropout: bool = False


@dataclass(frozen=True)
class AttentionShape:
    """The sizes of one call: q is [batch, heads, queries, head_dim], k and v have `keys` rows.

    In a model the tokens of an image are `prefix` class and register tokens, then a grid of
    patches by rows; outside of one (the grid is (0, 0)) they have no places. `bias` says whether
    one is added to the scores, `bias_grad` whether it is learned.
    """

    batch: int
    heads: int
    queries: int
    keys: int
    head_dim: int
    grid: tuple[int, int] = (0, 0)
    prefix: int = 0
    bias: bool = False
    bias_grad: bool = False


@dataclass(frozen=True)
class AttentionFlops:
    """Forward matmul FLOPs of one call: what comes before the values are mixed, and the mixing.

    `features` are products with a matrix that is not learned: their backward is one product, not
    two.
    """

    scores: int
    values: int
    features: int = 0

    @property
    def total(self) -> int:
        """All forward matmul FLOPs of the call."""
        return self.scores + self.values + self.features


class AttentionKernel(ABC):
    """softmax(q kᵀ · scale + bias) v, computed in some way; a subclass's fields are its options.

    A plugin is one file with one such class, a dataclass whose fields have literal defaults.
    """

    exact: ClassVar[bool] = True
    """Whether the result is softmax attention over the keys that `sees` lets through."""
    linear_memory: ClassVar[bool] = False
    """Whether nothing of size queries x keys is kept for the backward."""
    exceptions: ClassVar[Mapping[str, str]] = {}
    """Rules of the conformance kit that this kernel is known to break: rule to reason."""
    variants: ClassVar[tuple[Mapping[str, str], ...]] = ()
    """Text options that `tune=true` may try in 16 bits too, such as a coarser rounding."""

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
        return "attention dropout is not in the contract of kernels" if spec.dropout else None

    def placed(self, grid: tuple[int, int], prefix: int) -> AttentionKernel:
        """Return the kernel for tokens on this grid; kernels that ask where a patch is differ."""
        del grid, prefix
        return self

    def refined(self) -> AttentionKernel | None:
        """Return the same kernel, closer to the exact result; None for an exact one."""
        return None

    def sees(self, queries: int, keys: int) -> Tensor | None:
        """Return which keys a query sees as bool [queries, keys], None for all."""
        del queries, keys
        return None

    def ran_backend(
        self, q: Tensor, k: Tensor, v: Tensor, *, bias: Tensor | None = None
    ) -> str | None:
        """Return which of its implementations serves such a call; None where there is but one."""
        del q, k, v, bias
        return None

    def flops(self, shape: AttentionShape) -> AttentionFlops:
        """Return the forward matmul FLOPs; every kernel that sees all keys does the same work."""
        product = 2 * shape.batch * shape.heads * shape.queries * shape.keys * shape.head_dim
        return AttentionFlops(scores=product, values=product)

    def saved_bytes(self, shape: AttentionShape, element_size: int) -> int:
        """Return the bytes kept from forward to backward besides q, k, v, bias and the output.

        Unless a kernel says otherwise: the scores' softmax, as autograd keeps it.
        """
        return shape.batch * shape.heads * shape.queries * shape.keys * element_size

    def working_bytes(self, shape: AttentionShape, element_size: int) -> int:
        """Return the bytes alive at once in the backward besides what is kept and dq, dk and dv.

        Unless a kernel says otherwise: the gradients of weights and of scores, in float32, where
        it keeps the weights.
        """
        if self.linear_memory:
            return 0
        scores = shape.batch * shape.heads * shape.queries * shape.keys
        return 2 * scores * max(4, element_size)

    def kept_inputs(self, shape: AttentionShape, element_size: int) -> int:
        """Return how many of q, k and v are kept for the backward: all three where they are read.

        Those that are widened or gathered first are not, since their copies are; saved_bytes has
        these.
        """
        del shape, element_size
        return 3
