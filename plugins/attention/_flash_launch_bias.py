"""The launch for the bias gradient, whose programs sum over what shares an element of the bias.

Where the bias is one row or one column, the kernel leaves at most CHUNKS partial sums along that
dimension, which are added here; nothing of size M x N is made for it.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ._flash_bias import dbias_kernel
from ._flash_problem import Problem, Upstream
from ._flash_shapes import bias_gradient_like

CHUNKS = 16
"""How many partial sums, at most, a bias gets along a dimension in which it is one."""


class Axis(NamedTuple):
    """How one dimension of the scores is cut, and whether the bias is one along it."""

    summed: bool
    blocks: int
    """The blocks of a chunk."""
    chunks: int
    rows: int
    """What the kernel writes along this dimension."""


def bias_gradient(problem: Problem, above: Upstream) -> Tensor:
    """Return dBias in the shape and dtype of the bias [B or 1, H or 1, M or 1, N or 1]."""
    batch, heads, queries, keys, _ = problem.sizes
    bias = problem.bias
    assert bias is not None  # noqa: S101 (the caller asked for its gradient)
    tile = problem.tile("dbias")
    m = _cut(queries, tile.block_m, bias.shape[2])
    n = _cut(keys, tile.block_n, bias.shape[3])
    dbias = bias_gradient_like(bias)
    partial = _partial(dbias, m, n)
    problem.launch(
        dbias_kernel,
        bias.shape[0] * bias.shape[1] * m.chunks * n.chunks,
        tile,
        *problem.inputs, *above, partial,
        *problem.strides, above.dout.stride(), partial.stride(),
        heads, queries, keys,
        bias.shape[1],
        batch if bias.shape[0] == 1 else 1, heads if bias.shape[1] == 1 else 1,
        m.chunks, n.chunks, m.blocks, n.blocks,
        problem.scale,
        SUM_M=m.summed, SUM_N=n.summed,
        **problem.constants(tile, above.dout),
    )  # fmt: skip
    if partial is not dbias:
        dims = [dim for dim, axis in ((2, m), (3, n)) if axis.summed]
        dbias.copy_(partial.sum(dims, keepdim=True))
    return dbias


def _cut(length: int, block: int, size: int) -> Axis:
    """Cut a dimension of `length`, of which the bias has `size`, into chunks of blocks."""
    summed = size == 1 != length
    blocks = -(-length // block)
    each = max(1, -(-blocks // CHUNKS)) if summed else 1
    chunks = -(-blocks // each)
    return Axis(summed, each, chunks, chunks if summed else length)


def _partial(dbias: Tensor, m: Axis, n: Axis) -> Tensor:
    """Return what the kernel writes: the gradient itself, or the float32 sums of the chunks."""
    if not (m.summed or n.summed):
        return dbias
    return dbias.new_empty((*dbias.shape[:2], m.rows, n.rows), dtype=torch.float32)
