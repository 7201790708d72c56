"""flash for torch: an opaque forward and backward op, with shapes, autograd and shardings.

The ops are opaque to the compiler (a custom_op, not a triton_op, which the interpreter cannot
compile); a selective checkpoint saves torch.ops.vitladder.flash_forward.default.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ._flash_shapes import (
    WANT_BIAS,
    WANT_K,
    WANT_Q,
    WANT_V,
    bias_gradient_like,
    matrix_like,
    outputs_like,
)


@torch.library.custom_op("vitladder::flash_forward", mutates_args=())
def flash_forward(
    q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, causal: bool, scale: float
) -> tuple[Tensor, Tensor]:
    """Return the output [B, H, M, D] and the log-sum-exp [B, H, M]; bias has four dimensions."""
    from . import _flash_launch as launch

    launcher = launch.DeviceLauncher(q.device)
    return launch.forward(launch.Problem(q, k, v, bias, causal, scale, launcher))


@torch.library.custom_op("vitladder::flash_backward", mutates_args=())
def flash_backward(
    dout: Tensor,
    dlse: Tensor | None,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    bias: Tensor | None,
    out: Tensor,
    lse: Tensor,
    wanted: int,
    causal: bool,
    scale: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return dQ, dK, dV, dBias; those whose bit of `wanted` is not set are empty."""
    from . import _flash_launch as launch

    problem = launch.Problem(q, k, v, bias, causal, scale, launch.DeviceLauncher(q.device))
    above = launch.upstream(problem, out, lse, dout, dlse)
    dq, dk, dv, dbias = (q.new_empty(0) for _ in range(4))
    if wanted & WANT_Q:
        dq = launch.query_gradient(problem, above)
    if wanted & (WANT_K | WANT_V):
        both = launch.key_value_gradients(problem, above)
        dk = both[0] if wanted & WANT_K else dk
        dv = both[1] if wanted & WANT_V else dv
    if wanted & WANT_BIAS:
        dbias = launch.bias_gradient(problem, above)
    return dq, dk, dv, dbias


@flash_forward.register_fake
def _(
    q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, causal: bool, scale: float
) -> tuple[Tensor, Tensor]:
    del k, v, bias, causal, scale
    return outputs_like(q)


@flash_backward.register_fake
def _(
    dout: Tensor,
    dlse: Tensor | None,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    bias: Tensor | None,
    out: Tensor,
    lse: Tensor,
    wanted: int,
    causal: bool,
    scale: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    del dout, dlse, out, lse, causal, scale
    return (
        matrix_like(q) if wanted & WANT_Q else q.new_empty(0),
        matrix_like(k) if wanted & WANT_K else q.new_empty(0),
        matrix_like(v) if wanted & WANT_V else q.new_empty(0),
        bias_gradient_like(bias) if bias is not None and wanted & WANT_BIAS else q.new_empty(0),
    )


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    q, k, v, bias, ctx.causal, ctx.scale = inputs
    ctx.save_for_backward(q, k, v, bias, *output)
    ctx.set_materialize_grads(False)


def _differentiate(ctx: Any, dout: Tensor | None, dlse: Tensor | None) -> tuple[Tensor | None, ...]:
    """Return the gradients of q, k, v and bias; either upstream gradient may be missing."""
    q, k, v, bias, out, lse = ctx.saved_tensors
    needed = ctx.needs_input_grad[:4]
    if dout is None and dlse is None:
        return (None,) * 6
    dout = torch.zeros_like(out) if dout is None else dout
    wanted = sum(1 << place for place, need in enumerate(needed) if need)
    gradients = torch.ops.vitladder.flash_backward(
        dout, dlse, q, k, v, bias, out, lse, wanted, ctx.causal, ctx.scale
    )
    kept = [grad if need else None for grad, need in zip(gradients, needed, strict=True)]
    return (*kept, None, None)


def _refuse(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
    raise NotImplementedError(
        "flash has no second derivative; use attention=naive to differentiate a gradient"
    )


flash_forward.register_autograd(_differentiate, setup_context=_keep)
flash_backward.register_autograd(_refuse)
if torch.distributed.is_available():
    from . import _flash_sharding  # noqa: F401 (registers shardings)
