"""FlashAttention-2, backward (Dao 2023, algorithm 2), without atomics: a kernel per gradient.

With P = exp(S - lse) and dP = dO Vᵀ, every gradient follows from dS = P ∘ (dP - delta), where
delta = rowsum(dO ∘ O) - dlse: the log-sum-exp's own gradient adds P · dlse to dS. Each kernel
recomputes its tiles of P and owns the rows it writes, so sums have one order: runs repeat.
"""

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
    store_tile,
)


@triton.jit(do_not_specialize=["H", "M"])
def delta_kernel(
    out,
    dout,
    lse,
    dlse,
    delta,
    out_strides,
    dout_strides,
    dlse_strides,
    H,
    M,
    D: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BLOCK_M: tl.constexpr,
    WIDE: tl.constexpr,
):
    """Write delta = rowsum(dO ∘ O) - dlse, contiguous float32 [B, H, M]."""
    blocks = tl.cdiv(M, BLOCK_M)
    start_m = tl.program_id(0) % blocks * BLOCK_M
    pair = tl.program_id(0) // blocks
    batch = pair // H
    head = pair % H
    outputs = load_tile(
        matrix(out, out_strides, batch, head), out_strides, start_m, M, D, BLOCK_M, BLOCK_D, WIDE
    ).to(tl.float32)
    gradients = load_tile(
        matrix(dout, dout_strides, batch, head), dout_strides, start_m, M, D,
        BLOCK_M, BLOCK_D, WIDE,
    ).to(tl.float32)  # fmt: skip
    rows = start_m + tl.arange(0, BLOCK_M)
    inside = rows < M
    natural = tl.load(lse + tl.cast(pair, tl.int64) * M + rows, mask=inside, other=float("-inf"))
    result = tl.sum(outputs * gradients, 1)
    if dlse is not None:
        pointers = matrix(dlse, dlse_strides, batch, head) + rows.to(tl.int64) * dlse_strides[2]
        result -= tl.load(pointers, mask=inside, other=0.0)
    # The log-sum-exp of a row that sees no key is a constant; what flows into it ends here.
    result = tl.where(natural == float("-inf"), 0.0, result)
    tl.store(delta + tl.cast(pair, tl.int64) * M + rows, result, mask=inside)


@triton.jit(do_not_specialize=["H", "M", "N"])
def dkdv_kernel(
    q,
    k,
    v,
    bias,
    dout,
    lse,
    delta,
    dk,
    dv,
    q_strides,
    k_strides,
    v_strides,
    bias_strides,
    dout_strides,
    dk_strides,
    dv_strides,
    H,
    M,
    N,
    scale,
    CAUSAL: tl.constexpr,
    D: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    WIDE: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Write dK = dSᵀ Q · scale and dV = Pᵀ dO, one block of keys a program."""
    blocks = tl.cdiv(N, BLOCK_N)
    start_n = tl.program_id(0) % blocks * BLOCK_N
    pair = tl.program_id(0) // blocks
    batch = pair // H
    head = pair % H
    q = matrix(q, q_strides, batch, head)
    dout = matrix(dout, dout_strides, batch, head)
    lse = lse + tl.cast(pair, tl.int64) * M
    delta = delta + tl.cast(pair, tl.int64) * M
    if bias is not None:
        bias = matrix(bias, bias_strides, batch, head)
    keys = load_tile(
        matrix(k, k_strides, batch, head), k_strides, start_n, N, D, BLOCK_N, BLOCK_D, WIDE
    )
    values = load_tile(
        matrix(v, v_strides, batch, head), v_strides, start_n, N, D, BLOCK_N, BLOCK_D, WIDE
    )
    key_gradient = tl.zeros([BLOCK_N, BLOCK_D], tl.float32)
    value_gradient = tl.zeros([BLOCK_N, BLOCK_D], tl.float32)
    begin = 0
    if CAUSAL:
        # The first query that sees a key of this block, down to a whole block.
        begin = tl.maximum(start_n + M - N, 0) // BLOCK_M * BLOCK_M
    for start_m in range(begin, M, BLOCK_M):
        queries = load_tile(q, q_strides, start_m, M, D, BLOCK_M, BLOCK_D, WIDE)
        logits = scores(
            queries, keys, bias, bias_strides, start_m, start_n, M, N, scale,
            CAUSAL, BLOCK_M, BLOCK_N, True, WIDE, PRECISION,
        )  # fmt: skip
        weights = tl.exp2(logits - load_lse(lse, start_m, M, BLOCK_M)[None, :])
        gradients = load_tile(dout, dout_strides, start_m, M, D, BLOCK_M, BLOCK_D, WIDE)
        value_gradient = tl.dot(
            weights.to(gradients.dtype), gradients, value_gradient, input_precision=PRECISION
        )
        slope = tl.dot(values, tl.trans(gradients), input_precision=PRECISION)
        slope = weights * (slope - load_delta(delta, start_m, M, BLOCK_M)[None, :])
        key_gradient = tl.dot(
            slope.to(queries.dtype), queries, key_gradient, input_precision=PRECISION
        )
    store_tile(
        key_gradient * scale, matrix(dk, dk_strides, batch, head), dk_strides, start_n, N,
        D, BLOCK_N, BLOCK_D, WIDE,
    )  # fmt: skip
    store_tile(
        value_gradient, matrix(dv, dv_strides, batch, head), dv_strides, start_n, N,
        D, BLOCK_N, BLOCK_D, WIDE,
    )  # fmt: skip


@triton.jit(do_not_specialize=["H", "M", "N"])
def dq_kernel(
    q,
    k,
    v,
    bias,
    dout,
    lse,
    delta,
    dq,
    q_strides,
    k_strides,
    v_strides,
    bias_strides,
    dout_strides,
    dq_strides,
    H,
    M,
    N,
    scale,
    CAUSAL: tl.constexpr,
    D: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    WIDE: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Write dQ = dS K · scale, one block of queries a program."""
    blocks = tl.cdiv(M, BLOCK_M)
    start_m = tl.program_id(0) % blocks * BLOCK_M
    pair = tl.program_id(0) // blocks
    batch = pair // H
    head = pair % H
    k = matrix(k, k_strides, batch, head)
    v = matrix(v, v_strides, batch, head)
    if bias is not None:
        bias = matrix(bias, bias_strides, batch, head)
    queries = load_tile(
        matrix(q, q_strides, batch, head), q_strides, start_m, M, D, BLOCK_M, BLOCK_D, WIDE
    )
    gradients = load_tile(
        matrix(dout, dout_strides, batch, head), dout_strides, start_m, M, D,
        BLOCK_M, BLOCK_D, WIDE,
    )  # fmt: skip
    row_lse = load_lse(lse + tl.cast(pair, tl.int64) * M, start_m, M, BLOCK_M)
    row_delta = load_delta(delta + tl.cast(pair, tl.int64) * M, start_m, M, BLOCK_M)
    query_gradient = tl.zeros([BLOCK_M, BLOCK_D], tl.float32)
    end = N
    if CAUSAL:
        end = tl.minimum(N, start_m + BLOCK_M + N - M)
    for start_n in range(0, end, BLOCK_N):
        keys = load_tile(k, k_strides, start_n, N, D, BLOCK_N, BLOCK_D, WIDE)
        logits = scores(
            queries, keys, bias, bias_strides, start_m, start_n, M, N, scale,
            CAUSAL, BLOCK_M, BLOCK_N, False, WIDE, PRECISION,
        )  # fmt: skip
        weights = tl.exp2(logits - row_lse[:, None])
        values = load_tile(v, v_strides, start_n, N, D, BLOCK_N, BLOCK_D, WIDE)
        slope = tl.dot(gradients, tl.trans(values), input_precision=PRECISION)
        slope = weights * (slope - row_delta[:, None])
        query_gradient = tl.dot(
            slope.to(keys.dtype), keys, query_gradient, input_precision=PRECISION
        )
    store_tile(
        query_gradient * scale, matrix(dq, dq_strides, batch, head), dq_strides, start_m, M,
        D, BLOCK_M, BLOCK_D, WIDE,
    )  # fmt: skip
