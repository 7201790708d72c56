"""The gradient of the bias: dBias = dS, summed over every dimension in which the bias is one."""

# Triton has no types; its decorator takes those of the kernels away.
# mypy: disable-error-code="import-untyped,untyped-decorator,no-untyped-def,no-untyped-call"
from __future__ import annotations

import triton
import triton.language as tl

from ._flash_blocks import (
    load_delta,
    load_lse,
    load_tile,
    matrix,
    scores,
)


@triton.jit(do_not_specialize=["H", "M", "N"])
def dbias_kernel(
    q,
    k,
    v,
    bias,
    dout,
    lse,
    delta,
    dbias,
    q_strides,
    k_strides,
    v_strides,
    bias_strides,
    dout_strides,
    dbias_strides,
    H,
    M,
    N,
    heads_of_bias,
    batches,
    heads,
    chunks_m,
    chunks_n,
    blocks_m,
    blocks_n,
    scale,
    SUM_M: tl.constexpr,
    SUM_N: tl.constexpr,
    CAUSAL: tl.constexpr,
    D: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    WIDE: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Write dBias, or with SUM_M or SUM_N one partial sum for each chunk of blocks.

    A program owns one tile of one bias matrix and walks, in one order, over all that shares it:
    `batches` x `heads` of [B, H], and where the bias is one row (column) a chunk of `blocks_m`
    (`blocks_n`) blocks. The grid is bias batches x bias heads x chunks_m x chunks_n.
    """
    program = tl.program_id(0)
    chunk_n = program % chunks_n
    chunk_m = program // chunks_n % chunks_m
    pair = program // (chunks_n * chunks_m)
    bias_batch = pair // heads_of_bias
    bias_head = pair % heads_of_bias
    bias = matrix(bias, bias_strides, bias_batch, bias_head)
    total = tl.zeros([BLOCK_M, BLOCK_N], tl.float32)
    for step in range(batches * heads * blocks_m * blocks_n):
        start_n = (chunk_n * blocks_n + step % blocks_n) * BLOCK_N
        rest = step // blocks_n
        start_m = (chunk_m * blocks_m + rest % blocks_m) * BLOCK_M
        rest = rest // blocks_m
        head = bias_head + rest % heads
        batch = bias_batch + rest // heads
        row = tl.cast(batch * H + head, tl.int64) * M
        queries = load_tile(
            matrix(q, q_strides, batch, head), q_strides, start_m, M, D, BLOCK_M, BLOCK_D, WIDE
        )
        keys = load_tile(
            matrix(k, k_strides, batch, head), k_strides, start_n, N, D, BLOCK_N, BLOCK_D, WIDE
        )
        logits = scores(
            queries, keys, bias, bias_strides, start_m, start_n, M, N, scale,
            CAUSAL, BLOCK_M, BLOCK_N, False, WIDE, PRECISION,
        )  # fmt: skip
        weights = tl.exp2(logits - load_lse(lse + row, start_m, M, BLOCK_M)[:, None])
        gradients = load_tile(
            matrix(dout, dout_strides, batch, head), dout_strides, start_m, M, D,
            BLOCK_M, BLOCK_D, WIDE,
        )  # fmt: skip
        values = load_tile(
            matrix(v, v_strides, batch, head), v_strides, start_n, N, D, BLOCK_N, BLOCK_D, WIDE
        )
        slope = tl.dot(gradients, tl.trans(values), input_precision=PRECISION)
        total += weights * (slope - load_delta(delta + row, start_m, M, BLOCK_M)[:, None])
    m = (chunk_m * BLOCK_M + tl.arange(0, BLOCK_M))[:, None]
    n = (chunk_n * BLOCK_N + tl.arange(0, BLOCK_N))[None, :]
    inside = (m < M) & (n < N)
    if SUM_M:
        total = tl.sum(total, 0, keep_dims=True)
        m = chunk_m + tl.zeros([1, 1], tl.int32)
        inside = n < N
    if SUM_N:
        total = tl.sum(total, 1, keep_dims=True)
        n = chunk_n + tl.zeros([1, 1], tl.int32)
        inside = m < (chunks_m if SUM_M else M)
    target = matrix(dbias, dbias_strides, bias_batch, bias_head)
    pointers = target + m.to(tl.int64) * dbias_strides[2] + n.to(tl.int64) * dbias_strides[3]
    tl.store(pointers, total.to(dbias.dtype.element_ty), mask=inside)
