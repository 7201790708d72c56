"""The parts of attention, by what its kernel brings to memory.

A kernel that forms its scores writes them, reads and writes them in the softmax, and reads them
with the values; the kernels here do so in float32 or wider. A fused one (Dao et al. 2022) reads
q, k and v and writes the output. One with features (Choromanski et al. 2021) writes those instead
of scores. A bias on the scores counts as nothing.
"""

from __future__ import annotations

from vitladder.compute.part import Part, Work, element_wise, matmul
from vitladder.compute.shape import Shape, attention_shape
from vitladder.extend.attention import AttentionFlops, AttentionKernel, AttentionShape

# Maximum, subtraction, exponential, sum and division (Clark et al. 2020, flops_computation.py).
SOFTMAX_FLOPS = 5


def attention_parts(
    shape: Shape, kernel: AttentionKernel, batch: int, element_size: int
) -> tuple[Part, ...]:
    """Return what lies between q, k, v [batch, heads, seq, head_dim] and the output, all layers."""
    call = attention_shape(shape, batch)
    flops = kernel.flops(call)
    if flops.features:
        layer = _featured(call, flops, max(4, element_size))
    elif _forms_scores(kernel, call, flops, element_size):
        layer = _unfused(call, flops, max(4, element_size))
    else:
        layer = (_fused(kernel, call, flops, element_size),)
    return tuple(_repeated(part, shape.depth) for part in layer)


def _forms_scores(
    kernel: AttentionKernel, call: AttentionShape, flops: AttentionFlops, element_size: int
) -> bool:
    """Say whether the scores are brought to memory: whether as much is kept for the backward."""
    scores = flops.scores // (2 * call.head_dim)
    return kernel.saved_bytes(call, element_size) >= scores * element_size


def _unfused(call: AttentionShape, flops: AttentionFlops, wide: int) -> tuple[Part, ...]:
    q, k = _elements(call)
    scores, weights = flops.scores // (2 * call.head_dim), flops.values // (2 * call.head_dim)
    return (
        matmul("scores", Work(flops.scores, wide * (q + k + scores)), wide),
        # The backward reads the weights and their gradient.
        element_wise("softmax", SOFTMAX_FLOPS * scores, wide, 2 * wide * scores, 3 * wide * scores),
        matmul("values", Work(flops.values, wide * (weights + k + q)), wide),
    )


def _fused(
    kernel: AttentionKernel, call: AttentionShape, flops: AttentionFlops, element_size: int
) -> Part:
    """Return one part: q, k, v in and the output out; FLOPs without the scores' recomputation."""
    q, k = _elements(call)
    saved = kernel.saved_bytes(call, element_size)
    forward = Work(flops.total, element_size * (2 * q + 2 * k) + saved)
    # q, k, v, output and its gradient in; the gradients of q, k and v out.
    backward = Work(2 * flops.total, element_size * (4 * q + 4 * k) + saved)
    return Part("attention", "matmul", element_size, forward, backward)


def _featured(call: AttentionShape, flops: AttentionFlops, wide: int) -> tuple[Part, ...]:
    q, k = _elements(call)
    of_q, of_k = (product // (2 * call.head_dim) for product in (flops.values, flops.scores))
    both = flops.features // (2 * call.head_dim)
    mixed = flops.scores // (2 * call.keys)  # kᵀ v of every head, [features, head_dim]
    projection = mixed // (call.batch * call.heads)
    return (
        # One product for q and one for k; the projection is not learned and has no gradient.
        matmul("features", Work(flops.features, wide * (q + k + 2 * projection + both)), wide, 1),
        element_wise("feature map", SOFTMAX_FLOPS * both, wide, 2 * wide * both, 3 * wide * both),
        matmul("scores", Work(flops.scores, wide * (of_k + k + mixed)), wide),
        matmul("values", Work(flops.values, wide * (of_q + mixed + q)), wide),
    )


def _elements(call: AttentionShape) -> tuple[int, int]:
    """Return the elements of q, which the output has too, and of k, which v has too."""
    rows = call.batch * call.heads * call.head_dim
    return rows * call.queries, rows * call.keys


def _repeated(part: Part, depth: int) -> Part:
    forward = Work(depth * part.forward.flops, depth * part.forward.bytes_moved)
    backward = Work(depth * part.backward.flops, depth * part.backward.bytes_moved)
    return Part(part.name, part.kind, part.element_size, forward, backward)
