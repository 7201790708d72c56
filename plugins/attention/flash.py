"""FlashAttention-2 in Triton, with a gradient for the bias and for the log-sum-exp."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import ClassVar

import torch
from torch import Tensor

from vitladder.extend.attention import AttentionKernel, AttentionShape, AttentionSpec

from . import _flash_ops  # noqa: F401 (registers the ops)

DTYPES = ("float32", "float16", "bfloat16")


@dataclass(frozen=True)
class Flash(AttentionKernel):
    """FlashAttention-2 in Triton: memory linear in seq, a gradient for the bias, repeatable."""

    linear_memory: ClassVar[bool] = True

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
        """Run the kernels on the tensors where they lie; nothing is made contiguous.

        Under autocast q, k and v are cast to its dtype; the bias is read in its own.
        """
        q, k, v = _autocast(q, k, v)
        _check(q, k, v, bias)
        scale = q.shape[-1] ** -0.5 if scale is None else float(scale)
        if bias is not None:
            bias = bias[(None,) * (4 - bias.ndim)]
        output, lse = torch.ops.vitladder.flash_forward(q, k, v, bias, causal, scale)
        return (output, lse) if return_lse else output

    def supports(self, spec: AttentionSpec) -> str | None:
        """Return what is missing and what would work instead."""
        return (
            super().supports(spec)
            or _dtype_reason(spec.dtype)
            or _head_dim_reason(spec.head_dim)
            or _triton_reason()
            or _device_reason(spec.device)
        )

    def saved_bytes(self, shape: AttentionShape, element_size: int) -> int:
        """Return the bytes of the log-sum-exp, float32 [batch, heads, queries]."""
        del element_size
        return 4 * shape.batch * shape.heads * shape.queries


def _autocast(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Cast to autocast's dtype of now; a registered autocast rule could name only one dtype."""
    device = tensors[0].device.type
    if not (torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)):
        return tensors
    dtype = torch.get_autocast_dtype(device)
    return tuple(tensor.to(dtype) for tensor in tensors)


def _check(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None) -> None:
    """Raise ValueError for what the kernels would read wrongly."""
    reason = _dtype_reason(str(q.dtype).removeprefix("torch.")) or _head_dim_reason(q.shape[-1])
    if reason:
        raise ValueError(reason)
    if not q.dtype == k.dtype == v.dtype:
        raise ValueError(f"q, k and v differ in dtype: {q.dtype}, {k.dtype}, {v.dtype}")
    if k.shape != v.shape or q.shape[:2] != k.shape[:2] or q.shape[-1] != k.shape[-1]:
        raise ValueError(
            f"q must be [B, H, M, D], k and v [B, H, N, D]; "
            f"they are {list(q.shape)}, {list(k.shape)}, {list(v.shape)}"
        )
    if bias is None:
        return
    if str(bias.dtype).removeprefix("torch.") not in DTYPES:
        raise ValueError(f"flash adds a bias of {', '.join(DTYPES)}, not of {bias.dtype}")
    full = (*q.shape[:3], k.shape[2])
    sizes = zip(reversed(bias.shape), reversed(full), strict=False)
    if bias.ndim > 4 or any(size not in (1, whole) for size, whole in sizes):
        raise ValueError(f"a bias {list(bias.shape)} does not broadcast to {list(full)}")


def _dtype_reason(dtype: str) -> str | None:
    if dtype in DTYPES:
        return None
    return f"flash computes in {', '.join(DTYPES)}, not in {dtype}; attention=naive can"


def _head_dim_reason(head_dim: int) -> str | None:
    if 1 <= head_dim <= 128:
        return None
    return f"flash holds head_dim up to 128 in its tiles, not {head_dim}; attention=sdpa can"


def _triton_reason() -> str | None:
    if find_spec("triton") is not None:
        return None
    return "flash needs triton, which is not installed here; attention=sdpa needs nothing"


def _device_reason(device: str) -> str | None:
    # Imported here: without triton, flash must still be able to say that it needs it.
    from ._flash_device import device_reason

    return device_reason(torch.device(device))
