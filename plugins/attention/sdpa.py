"""torch's scaled_dot_product_attention, with the backend that torch picks or the one asked for."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention
from torch.utils._python_dispatch import TorchDispatchMode

from vitladder.extend.attention import AttentionKernel, AttentionShape, AttentionSpec
from vitladder.extend.precise import logsumexp_rows, wide_dtype, without_autocast

_BACKENDS = {
    "flash": SDPBackend.FLASH_ATTENTION,
    "efficient": SDPBackend.EFFICIENT_ATTENTION,
    "cudnn": SDPBackend.CUDNN_ATTENTION,
    "math": SDPBackend.MATH,
}


@dataclass(frozen=True)
class Sdpa(AttentionKernel):
    """torch's scaled_dot_product_attention: fused where torch has a fused kernel."""

    exceptions: ClassVar[Mapping[str, str]] = {
        "rms": "torch's CPU kernel rounds dq and dk 1.9 to 2.5 times as much as needed in 16 bits",
    }

    backend: Literal["auto", "flash", "efficient", "cudnn", "math"] = "auto"

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
        """Pass on to torch; torch returns no log-sum-exp, so return_lse computes the scores.

        torch takes a bias of q's dtype only, so another one is rounded to it.
        """
        if self.backend != "math":
            q, k, v = (_unit_stride(tensor) for tensor in (q, k, v))
        mask = None if bias is None else _four_dimensional(bias.to(q.dtype))
        square = causal and mask is None and q.shape[-2] == k.shape[-2]
        if causal and not square:
            # torch's is_causal is aligned top-left; the contract asks for bottom-right.
            mask = _causal_bias(q, k) if mask is None else mask + _causal_bias(q, k)
        with self._chosen():
            output = scaled_dot_product_attention(
                q, k, v, attn_mask=mask, is_causal=square, scale=scale
            )
        return (output, _logsumexp(q, k, bias, causal, scale)) if return_lse else output

    def supports(self, spec: AttentionSpec) -> str | None:
        """Refuse what the backend that was asked for cannot do; "auto" always finds one."""
        fused = self.backend not in ("auto", "math")
        if fused and spec.device == "cpu" and self.backend != "flash":
            return f"torch's {self.backend} backend needs CUDA; on a CPU use flash, math or auto"
        if self.backend in ("flash", "cudnn") and spec.bias_grad:
            return f"torch's {self.backend} backend has no gradient of the bias; use math or auto"
        if self.backend == "flash" and spec.bias and spec.device != "cpu":
            return "torch's flash backend takes no bias on CUDA; use efficient or auto"
        if self.backend in ("flash", "cudnn") and spec.device != "cpu" and spec.dtype == "float32":
            return f"torch's {self.backend} backend has no float32; use efficient, math or auto"
        return super().supports(spec)

    def saved_bytes(self, shape: AttentionShape, element_size: int) -> int:
        """Return the log-sum-exp's bytes; math keeps weights, scaled q and k, and a widened v."""
        heads = shape.batch * shape.heads
        if not self._is_math(shape):
            rows = -(-shape.queries // 32) * 32 if self.backend == "efficient" else shape.queries
            return heads * rows * max(4, element_size)
        wide = max(4, element_size)
        rows = shape.queries + shape.keys * (1 if wide == element_size else 2)
        return heads * (shape.queries * shape.keys + rows * shape.head_dim) * wide

    def kept_inputs(self, shape: AttentionShape, element_size: int) -> int:
        """Return all three; math scales q and k first, and widens v."""
        if not self._is_math(shape):
            return 3
        return 1 if element_size >= 4 else 0

    def working_bytes(self, shape: AttentionShape, element_size: int) -> int:
        """Return 0 but for math, which keeps the weights."""
        return super().working_bytes(shape, element_size) if self._is_math(shape) else 0

    def _is_math(self, shape: AttentionShape) -> bool:
        """torch's other backends have no gradient for a bias."""
        return self.backend == "math" or shape.bias_grad

    def ran_backend(
        self, q: Tensor, k: Tensor, v: Tensor, *, bias: Tensor | None = None
    ) -> str | None:
        """Call the kernel and return the backend that really ran, by the operators it called."""
        record = _Record()  # type: ignore[no-untyped-call]
        with record:
            self(q, k, v, bias=bias)
        return record.backend

    def _chosen(self) -> AbstractContextManager[None]:
        return nullcontext() if self.backend == "auto" else sdpa_kernel(_BACKENDS[self.backend])


class _Record(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes which fused attention operator is called; math is made of others, and calls none."""

    backend: str = "math"

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        for name in ("flash", "efficient", "cudnn"):
            if func.__name__.startswith(f"_scaled_dot_product_{name}_attention"):
                self.backend = name
        return func(*args, **(kwargs or {}))


def _unit_stride(tensor: Tensor) -> Tensor:
    """Return the tensor, copied if its last stride is not 1: fused kernels refuse it, math is slow.

    A projection's output, packed or not, is never copied.
    """
    return tensor if tensor.stride(-1) == 1 else tensor.contiguous()


def _four_dimensional(bias: Tensor) -> Tensor:
    """Return the bias as [., ., ., .]: torch's CPU kernel is fused for a mask of rank 2 or 4."""
    return bias.reshape((1,) * (4 - bias.dim()) + bias.shape)


def _causal_bias(q: Tensor, k: Tensor) -> Tensor:
    queries, keys = q.shape[-2], k.shape[-2]
    future = torch.full((queries, keys), float("-inf"), dtype=q.dtype, device=q.device)
    return future.triu(keys - queries + 1)


def _logsumexp(
    q: Tensor, k: Tensor, bias: Tensor | None, causal: bool, scale: float | None
) -> Tensor:
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    with without_autocast(q):
        wide = wide_dtype(q)
        scores = (q.to(wide) * scale) @ k.to(wide).mT
        if bias is not None:
            scores = scores + bias
        if causal:
            scores = scores + _causal_bias(q, k)
        return logsumexp_rows(scores)
