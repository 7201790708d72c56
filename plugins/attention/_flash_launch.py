"""Allocates what the flash kernels write and launches them."""

# mypy: disable-error-code="import-untyped,no-untyped-call"
from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor
from triton.runtime.interpreter import InterpretedFunction

from ._flash_backward import delta_kernel, dkdv_kernel, dq_kernel
from ._flash_bias import dbias_kernel
from ._flash_forward import forward_kernel
from ._flash_shapes import bias_gradient_like, outputs_like, rows_like
from ._flash_tiles import Tile, padded, pick_tile

NARROW = 2**31 // 128
"""Strides whose sum is below this keep an offset inside of a tile of 128 x 128 in 32 bits."""
CHUNKS = 16
"""How many partial sums, at most, a bias gets along a dimension in which it is one."""

if isinstance(forward_kernel, InterpretedFunction):
    from vitladder.extend.interpreter import repair

    repair()


class Launcher(Protocol):
    """Runs one kernel on a one-dimensional grid; `architecture` is its row of the tile table."""

    architecture: str

    def __call__(
        self, kernel: Any, programs: int, tile: Tile, args: Sequence[Any], meta: dict[str, Any]
    ) -> None: ...


class DeviceLauncher:
    """Launches on the device of the tensors, or in the interpreter."""

    def __init__(self, device: torch.device) -> None:
        self.architecture = architecture_of(device)

    def __call__(
        self, kernel: Any, programs: int, tile: Tile, args: Sequence[Any], meta: dict[str, Any]
    ) -> None:
        # One grid dimension: the others end at 65535, which batch x heads can pass.
        with torch.cuda.device_of(args[0]):
            kernel[(programs,)](*args, **meta, num_warps=tile.warps, num_stages=tile.stages)


class Problem(NamedTuple):
    """What every kernel of one call shares."""

    q: Tensor
    k: Tensor
    v: Tensor
    bias: Tensor | None
    causal: bool
    scale: float
    launcher: Launcher

    @property
    def sizes(self) -> tuple[int, int, int, int, int]:
        """Batch, heads, queries, keys, head_dim."""
        batch, heads, queries, head_dim = self.q.shape
        return batch, heads, queries, self.k.shape[2], head_dim

    @property
    def inputs(self) -> tuple[Tensor | None, ...]:
        return self.q, self.k, self.v, self.bias

    @property
    def strides(self) -> tuple[tuple[int, ...], ...]:
        return self.q.stride(), self.k.stride(), self.v.stride(), broadcast_strides(self.bias)


def forward(problem: Problem) -> tuple[Tensor, Tensor]:
    """Return the output [B, H, M, D] and the log-sum-exp [B, H, M]."""
    batch, heads, queries, keys, _ = problem.sizes
    out, lse = outputs_like(problem.q)
    tile = _tile(problem, "forward")
    _launch(
        problem,
        forward_kernel,
        -(-queries // tile.block_m) * batch * heads,
        tile,
        *problem.inputs, out, lse,
        *problem.strides, out.stride(),
        heads, queries, keys, problem.scale,
        **_meta(problem, tile, out),
    )  # fmt: skip
    return out, lse


class Upstream(NamedTuple):
    """What a backward kernel reads besides the inputs."""

    dout: Tensor
    lse: Tensor
    delta: Tensor


def upstream(
    problem: Problem, out: Tensor, lse: Tensor, dout: Tensor, dlse: Tensor | None
) -> Upstream:
    """Compute delta [B, H, M], with which the row of a softmax corrects its gradient."""
    batch, heads, queries, _, head_dim = problem.sizes
    delta = rows_like(problem.q)
    tile = _tile(problem, "delta")
    _launch(
        problem,
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
    tile = _tile(problem, "dq")
    _launch(
        problem,
        dq_kernel,
        -(-queries // tile.block_m) * batch * heads,
        tile,
        *problem.inputs, *above, dq,
        *problem.strides, above.dout.stride(), dq.stride(),
        heads, queries, keys, problem.scale,
        **_meta(problem, tile, above.dout, dq),
    )  # fmt: skip
    return dq


def key_value_gradients(problem: Problem, above: Upstream) -> tuple[Tensor, Tensor]:
    """Return dK and dV [B, H, N, D]."""
    batch, heads, queries, keys, _ = problem.sizes
    dk, dv = outputs_like(problem.k)[0], outputs_like(problem.v)[0]
    tile = _tile(problem, "dkdv")
    _launch(
        problem,
        dkdv_kernel,
        -(-keys // tile.block_n) * batch * heads,
        tile,
        *problem.inputs, *above, dk, dv,
        *problem.strides, above.dout.stride(), dk.stride(), dv.stride(),
        heads, queries, keys, problem.scale,
        **_meta(problem, tile, above.dout, dk, dv),
    )  # fmt: skip
    return dk, dv


def bias_gradient(problem: Problem, above: Upstream) -> Tensor:
    """Return dBias in the shape and dtype of the bias [B or 1, H or 1, M or 1, N or 1].

    Where the bias is one row or one column, the kernel leaves at most CHUNKS partial sums along
    that dimension, which are added here; nothing of size M x N is made for it.
    """
    batch, heads, queries, keys, _ = problem.sizes
    bias = problem.bias
    assert bias is not None  # noqa: S101 (the caller asked for its gradient)
    tile = _tile(problem, "dbias")
    sum_m, sum_n = bias.shape[2] == 1 != queries, bias.shape[3] == 1 != keys
    blocks_m, chunks_m = _chunk(queries, tile.block_m, summed=sum_m)
    blocks_n, chunks_n = _chunk(keys, tile.block_n, summed=sum_n)
    dbias = bias_gradient_like(bias)
    partial = dbias
    if sum_m or sum_n:
        rows, cols = chunks_m if sum_m else queries, chunks_n if sum_n else keys
        partial = dbias.new_empty((*bias.shape[:2], rows, cols), dtype=torch.float32)
    _launch(
        problem,
        dbias_kernel,
        bias.shape[0] * bias.shape[1] * chunks_m * chunks_n,
        tile,
        *problem.inputs, *above, partial,
        *problem.strides, above.dout.stride(), partial.stride(),
        heads, queries, keys,
        bias.shape[1],
        batch if bias.shape[0] == 1 else 1, heads if bias.shape[1] == 1 else 1,
        chunks_m, chunks_n, blocks_m, blocks_n,
        problem.scale,
        SUM_M=sum_m, SUM_N=sum_n,
        **_meta(problem, tile, above.dout),
    )  # fmt: skip
    if partial is not dbias:
        dims = [dim for dim, summed in ((2, sum_m), (3, sum_n)) if summed]
        dbias.copy_(partial.sum(dims, keepdim=True))
    return dbias


def _chunk(length: int, block: int, *, summed: bool) -> tuple[int, int]:
    """Return the blocks of a chunk and the number of chunks."""
    blocks = -(-length // block)
    size = max(1, -(-blocks // CHUNKS)) if summed else 1
    return size, -(-blocks // size)


def broadcast_strides(bias: Tensor | None) -> tuple[int, ...]:
    """Return the strides of a bias, 0 where it is broadcast."""
    if bias is None:
        return (0, 0, 0, 0)
    return tuple(
        0 if size == 1 else stride for size, stride in zip(bias.shape, bias.stride(), strict=True)
    )


def _tile(problem: Problem, kernel: str) -> Tile:
    q = problem.q
    return pick_tile(problem.launcher.architecture, kernel, q.element_size(), q.shape[-1])


def architecture_of(device: torch.device) -> str:
    """Return the row of the tile table; 8.x and 12.x share one, the smallest shared memory's."""
    if isinstance(forward_kernel, InterpretedFunction):
        return "interpreter"
    if device.type != "cuda":
        raise RuntimeError(
            f"flash cannot run on {device.type}: Triton compiles for GPUs only; "
            f"set TRITON_INTERPRET=1 before Python starts to interpret it, or use attention=sdpa"
        )
    if torch.version.hip:
        return "gfx942"
    major = torch.cuda.get_device_capability(device)[0]
    return {9: "sm_90", 10: "sm_100"}.get(major, "sm_80")


def _meta(problem: Problem, tile: Tile, *others: Tensor) -> dict[str, Any]:
    head_dim = problem.q.shape[-1]
    tensors = [*problem.inputs, *others]
    return {
        "CAUSAL": problem.causal,
        "D": head_dim,
        "BLOCK_D": padded(head_dim),
        "BLOCK_M": tile.block_m,
        "BLOCK_N": tile.block_n,
        "WIDE": is_wide(*[tensor for tensor in tensors if tensor is not None]),
        # TF32 would lose 13 of float32's 23 bits; for 16-bit inputs this changes nothing.
        "PRECISION": "ieee",
    }


def is_wide(*tensors: Tensor) -> bool:
    return any(sum(tensor.stride()[-2:]) >= NARROW for tensor in tensors)


def _launch(
    problem: Problem, kernel: Any, programs: int, tile: Tile, *args: Any, **meta: Any
) -> None:
    if programs:
        problem.launcher(kernel, programs, tile, args, meta)
