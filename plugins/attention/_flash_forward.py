"""FlashAttention-2, forward (Dao 2023, algorithm 1): one program, one block of queries."""

# Triton has no types; its decorator takes those of the kernels away.
# mypy: disable-error-code="import-untyped,untyped-decorator,no-untyped-def,no-untyped-call"
from __future__ import annotations

import triton
import triton.language as tl

from ._flash_blocks import LN2, load_tile, matrix, scores, store_tile


@triton.jit(do_not_specialize=["H", "M", "N"])
def forward_kernel(
    q,
    k,
    v,
    bias,
    out,
    lse,
    q_strides,
    k_strides,
    v_strides,
    bias_strides,
    out_strides,
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
    """Write the output [B, H, M, D] and the log-sum-exp, contiguous float32 [B, H, M].

    The softmax runs online over blocks of keys: `top` is the maximum so far, `total` the sum of
    exp2(score - top), `mixed` the values weighed alike; a new maximum rescales both.
    """
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
    top = tl.full([BLOCK_M], float("-inf"), tl.float32)
    total = tl.zeros([BLOCK_M], tl.float32)
    mixed = tl.zeros([BLOCK_M, BLOCK_D], tl.float32)
    end = N
    if CAUSAL:
        end = tl.minimum(N, start_m + BLOCK_M + N - M)
    for start_n in range(0, end, BLOCK_N):
        keys = load_tile(k, k_strides, start_n, N, D, BLOCK_N, BLOCK_D, WIDE)
        logits = scores(
            queries, keys, bias, bias_strides, start_m, start_n, M, N, scale,
            CAUSAL, BLOCK_M, BLOCK_N, False, WIDE, PRECISION,
        )  # fmt: skip
        highest = tl.maximum(top, tl.max(logits, 1))
        # A row that has seen no key yet has no maximum; -inf - -inf would be NaN.
        shift = tl.where(highest == float("-inf"), 0.0, highest)
        weights = tl.exp2(logits - shift[:, None])
        rescale = tl.exp2(top - shift)
        total = total * rescale + tl.sum(weights, 1)
        values = load_tile(v, v_strides, start_n, N, D, BLOCK_N, BLOCK_D, WIDE)
        mixed = mixed * rescale[:, None]
        mixed = tl.dot(weights.to(values.dtype), values, mixed, input_precision=PRECISION)
        top = highest
    masked = total == 0.0
    total = tl.where(masked, 1.0, total)
    store_tile(
        mixed / total[:, None], matrix(out, out_strides, batch, head), out_strides, start_m, M,
        D, BLOCK_M, BLOCK_D, WIDE,
    )  # fmt: skip
    rows = start_m + tl.arange(0, BLOCK_M)
    natural = tl.where(masked, float("-inf"), (top + tl.log2(total)) * LN2)
    tl.store(lse + tl.cast(pair, tl.int64) * M + rows, natural, mask=rows < M)
