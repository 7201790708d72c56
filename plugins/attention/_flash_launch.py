"""One launch for the output and one for each gradient: allocates what a kernel writes, runs it."""

from __future__ import annotations

from torch import Tensor

from ._flash_backward import delta_kernel, dkdv_kernel, dq_kernel
from ._flash_device import DeviceLauncher
from ._flash_forward import forward_kernel
from ._flash_launch_bias import bias_gradient
from ._flash_problem import Problem, Upstream, is_wide
from ._flash_shapes import outputs_like, rows_like
from ._flash_tiles import padded

__all__ = [
    "DeviceLauncher",
    "Problem",
    "Upstream",
    "bias_gradient",
    "forward",
    "key_value_gradients",
    "query_gradient",
    "upstream",
]


def forward(problem: Problem) -> tuple[Tensor, Tensor]:
    """Return the output [B, H, M, D] and the log-sum-exp [B, H, M]."""
    batch, heads, queries, keys, _ = problem.sizes
    out, lse = outputs_like(problem.q)
    tile = problem.tile("forward")
    problem.launch(
        forward_kernel,
        -(-queries // tile.block_m) * batch * heads,
        tile,
        *problem.inputs, out, lse,
        *problem.strides, out.stride(),
        heads, queries, keys, problem.scale,
        **problem.constants(tile, out),
    )  # fmt: skip
    return out, lse


def upstream(
    problem: Problem, out: Tensor, lse: Tensor, dout: Tensor, dlse: Tensor | None
) -> Upstream:
    """Compute delta [B, H, M], with which the row of a softmax corrects its gradient."""
    batch, heads, queries, _, head_dim = problem.sizes
    delta = rows_like(problem.q)
    tile = problem.tile("delta")
    problem.launch(
        delta_kernel,
        -(-queries // tile.block_m) * batch * heads,
        tile,
        out, dout, lse, dlse, delta,
        out.stride(), dout.stride(), (0, 0, 0) if dlse is None else dlse.stride(),
        heads, queries,
        D=head_dim, BLOCK_D=padded(head_dim), BLOCK_M=tile.block_m, WIDE=is_wide(out, dout),
    )  # fmt: skip
    return Upstream(dout, lse, delta)


def query_gradient(problem: Problem, above: Upstream) -> Tensor:
    """Return dQ [B, H, M, D]."""
    batch, heads, queries, keys, _ = problem.sizes
    dq = outputs_like(problem.q)[0]
    tile = problem.tile("dq")
    problem.launch(
        dq_kernel,
        -(-queries // tile.block_m) * batch * heads,
        tile,
        *problem.inputs, *above, dq,
        *problem.strides, above.dout.stride(), dq.stride(),
        heads, queries, keys, problem.scale,
        **problem.constants(tile, above.dout, dq),
    )  # fmt: skip
    return dq


def key_value_gradients(problem: Problem, above: Upstream) -> tuple[Tensor, Tensor]:
    """Return dK and dV [B, H, N, D]."""
    batch, heads, queries, keys, _ = problem.sizes
    dk, dv = outputs_like(problem.k)[0], outputs_like(problem.v)[0]
    tile = problem.tile("dkdv")
    problem.launch(
        dkdv_kernel,
        -(-keys // tile.block_n) * batch * heads,
        tile,
        *problem.inputs, *above, dk, dv,
        *problem.strides, above.dout.stride(), dk.stride(), dv.stride(),
        heads, queries, keys, problem.scale,
        **problem.constants(tile, above.dout, dk, dv),
    )  # fmt: skip
    return dk, dv
