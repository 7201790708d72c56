"""What every flash kernel does to one tile: load it, score it, weigh it. Runs on the device.

Matrices are read where they lie, through all four strides of [batch, heads, rows, head_dim].
Offsets of a tile are 64-bit; inside a tile they are 32-bit unless WIDE says they may not fit.
A tile is padded by masks: head_dim to BLOCK_D, rows to the block; what lies beyond reads as 0.
"""

# Triton has no types; its decorator takes those of the kernels away.
# mypy: disable-error-code="import-untyped,untyped-decorator,no-untyped-def,no-untyped-call"
from __future__ import annotations

import triton
import triton.language as tl

LOG2E = tl.constexpr(1.4426950408889634)
LN2 = tl.constexpr(0.6931471805599453)


@triton.jit
def matrix(pointer, strides, batch, head):
    """Return where the matrix of one batch and head begins."""
    return pointer + tl.cast(batch, tl.int64) * strides[0] + tl.cast(head, tl.int64) * strides[1]


@triton.jit
def tile_pointers(base, strides, start, ROWS: tl.constexpr, COLS: tl.constexpr, WIDE: tl.constexpr):
    """Return pointers [ROWS, COLS] to the rows from `start` on."""
    rows = tl.arange(0, ROWS)
    cols = tl.arange(0, COLS)
    if WIDE:
        rows = rows.to(tl.int64)
        cols = cols.to(tl.int64)
    origin = base + tl.cast(start, tl.int64) * strides[2]
    return origin + rows[:, None] * strides[2] + cols[None, :] * strides[3]


@triton.jit
def tile_mask(start, length, D: tl.constexpr, ROWS: tl.constexpr, COLS: tl.constexpr):
    """Return which elements of a tile [ROWS, COLS] lie inside of a matrix [length, D]."""
    inside = (start + tl.arange(0, ROWS))[:, None] < length
    if D != COLS:
        inside = inside & (tl.arange(0, COLS)[None, :] < D)
    return inside


@triton.jit
def load_tile(
    base,
    strides,
    start,
    length,
    D: tl.constexpr,
    ROWS: tl.constexpr,
    COLS: tl.constexpr,
    WIDE: tl.constexpr,
):
    """Load rows from `start` on of a matrix [length, D] as a tile [ROWS, COLS]."""
    pointers = tile_pointers(base, strides, start, ROWS, COLS, WIDE)
    return tl.load(pointers, mask=tile_mask(start, length, D, ROWS, COLS), other=0.0)


@triton.jit
def store_tile(
    tile,
    base,
    strides,
    start,
    length,
    D: tl.constexpr,
    ROWS: tl.constexpr,
    COLS: tl.constexpr,
    WIDE: tl.constexpr,
):
    """Store a tile [ROWS, COLS] as the rows from `start` on of a matrix [length, D]."""
    pointers = tile_pointers(base, strides, start, ROWS, COLS, WIDE)
    tl.store(
        pointers,
        tile.to(base.dtype.element_ty),
        mask=tile_mask(start, length, D, ROWS, COLS),
    )


@triton.jit
def bias_tile(
    base,
    strides,
    start_m,
    start_n,
    M,
    N,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    KEYS_FIRST: tl.constexpr,
    WIDE: tl.constexpr,
):
    """Load the bias of a tile, float32 [BLOCK_M, BLOCK_N], or its transpose with KEYS_FIRST."""
    rows = tl.arange(0, BLOCK_M)
    cols = tl.arange(0, BLOCK_N)
    if KEYS_FIRST:
        m = rows[None, :]
        n = cols[:, None]
    else:
        m = rows[:, None]
        n = cols[None, :]
    inside = (start_m + m < M) & (start_n + n < N)
    if WIDE:
        m = m.to(tl.int64)
        n = n.to(tl.int64)
    start = tl.cast(start_m, tl.int64) * strides[2] + tl.cast(start_n, tl.int64) * strides[3]
    pointers = base + start + m * strides[2] + n * strides[3]
    return tl.load(pointers, mask=inside, other=0.0).to(tl.float32)


@triton.jit
def scores(
    q,
    k,
    bias,
    bias_strides,
    start_m,
    start_n,
    M,
    N,
    scale,
    CAUSAL: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    KEYS_FIRST: tl.constexpr,
    WIDE: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Return (q kᵀ · scale + bias) · log2(e), -inf where the query does not see the key.

    float32 [BLOCK_M, BLOCK_N], or its transpose with KEYS_FIRST; exp2 is the device's own
    exponential, so logits are kept in base 2. Causal is aligned bottom-right.
    """
    if KEYS_FIRST:
        logits = tl.dot(k, tl.trans(q), input_precision=PRECISION)
        m = start_m + tl.arange(0, BLOCK_M)[None, :]
        n = start_n + tl.arange(0, BLOCK_N)[:, None]
    else:
        logits = tl.dot(q, tl.trans(k), input_precision=PRECISION)
        m = start_m + tl.arange(0, BLOCK_M)[:, None]
        n = start_n + tl.arange(0, BLOCK_N)[None, :]
    logits = logits * (scale * LOG2E)
    if bias is not None:
        added = bias_tile(
            bias, bias_strides, start_m, start_n, M, N, BLOCK_M, BLOCK_N, KEYS_FIRST, WIDE
        )
        logits = logits + added * LOG2E
    seen = n < N
    if CAUSAL:
        seen = seen & (n <= m + (N - M))
    return tl.where(seen, logits, float("-inf"))


@triton.jit
def load_lse(lse, start, M, BLOCK: tl.constexpr):
    """Load log-sum-exps in base 2; +inf for rows that see no key, so that exp2 gives them 0."""
    rows = start + tl.arange(0, BLOCK)
    natural = tl.load(lse + rows, mask=rows < M, other=float("-inf"))
    return tl.where(natural == float("-inf"), float("inf"), natural * LOG2E)


@triton.jit
def load_delta(delta, start, M, BLOCK: tl.constexpr):
    """Load delta, float32 [BLOCK]."""
    rows = start + tl.arange(0, BLOCK)
    return tl.load(delta + rows, mask=rows < M, other=0.0)
