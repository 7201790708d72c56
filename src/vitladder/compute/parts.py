"""Every part of one training step: its FLOPs, bytes moved and arithmetic intensity.

The products' FLOPs are those of flops.py, to the unit. The residual stream, the weights and the
optimizer are kept in `stored_size` bytes, as under autocast; what is multiplied has `element_size`.
Learned vectors, the loss, pooling, the adding of positions and images' own loading are too small
to count. The last norm is counted over all tokens, though after average pooling it sees one an
image. FLOPs of element-wise parts are nominal: see their constants.
"""

from __future__ import annotations

from vitladder.compute.attention_parts import attention_parts
from vitladder.compute.gemm import Gemm, convolution
from vitladder.compute.parameters import parameters
from vitladder.compute.part import Part, Work, element_wise, product
from vitladder.compute.shape import Shape
from vitladder.extend.attention import AttentionKernel

# FLOPs an element, from Clark et al. 2020 (ELECTRA, flops_computation.py): the mean, the variance
# (2), the bias and the scale of a norm; GELU by its tanh form, for other activations too.
NORM_FLOPS = 5
ACTIVATION_FLOPS = 8
# A pair is turned by 4 multiplications and 2 additions (Su et al. 2021, eq. 34).
ROTATION_FLOPS = 3
# AdamW (Loshchilov and Hutter 2019, algorithm 2): decay 1, first moment 3, second moment 4,
# denominator 3, step 3. It reads weight, gradient and two moments and writes all but the gradient.
ADAMW_FLOPS = 14
ADAMW_TRANSFERS = 7


def training_parts(
    shape: Shape,
    kernel: AttentionKernel,
    batch: int,
    element_size: int,
    *,
    position_params: int = 0,
    rotates: bool = False,
    stored_size: int = 4,
) -> tuple[Part, ...]:
    """Return the parts of one step on `batch` images, all layers summed.

    `position_params` is how many parameters the position encoding learns, `rotates` whether it
    turns q and k. The optimizer's update is AdamW's and is counted as a backward.
    """
    count = parameters(shape, position_params)
    parts = [
        *_before_attention(shape, batch, element_size),
        *_heads(shape, batch, element_size, rotates),
        *attention_parts(shape, kernel, batch, element_size),
        *_after_attention(shape, batch, element_size),
        *_stream(shape, batch, element_size, stored_size),
    ]
    if element_size != stored_size:
        parts.append(_casts(count.matmul, element_size, stored_size))
    parts.append(_update(count.total, stored_size))
    return tuple(parts)


def _before_attention(shape: Shape, batch: int, element_size: int) -> list[Part]:
    rows, columns = shape.tokens.grid
    patch = shape.patch
    size, kernel = (rows * patch, columns * patch), (patch, patch)
    patches = convolution(batch, size, shape.channels, shape.width, kernel, stride=patch)
    qkv = Gemm(batch * shape.tokens.seq, shape.width, shape.qkv_width)
    return [
        product("patch embedding", patches, element_size, left_gradient=False),
        product("qkv", qkv, element_size, shape.depth),
    ]


def _after_attention(shape: Shape, batch: int, element_size: int) -> list[Part]:
    rows, width, hidden = batch * shape.tokens.seq, shape.width, shape.hidden
    into = (shape.mlp_products - 1) * shape.depth
    return [
        product("projection", Gemm(rows, width, width), element_size, shape.depth),
        product("MLP in", Gemm(rows, width, hidden), element_size, into),
        _activation(shape, rows, element_size),
        product("MLP out", Gemm(rows, hidden, width), element_size, shape.depth),
        product("head", Gemm(batch, width, shape.classes), element_size),
    ]


def _activation(shape: Shape, rows: int, element_size: int) -> Part:
    """Return the activation, and with three matrices the product with the gate."""
    elements, inputs = shape.depth * rows * shape.hidden, shape.mlp_products - 1
    return element_wise(
        "activation",
        (ACTIVATION_FLOPS + inputs - 1) * elements,
        element_size,
        (inputs + 1) * element_size * elements,
        (2 * inputs + 1) * element_size * elements,
    )


def _heads(shape: Shape, batch: int, element_size: int, rotates: bool) -> list[Part]:
    """Return what is done to q, k and v on their way to the kernel."""
    head = shape.depth * batch * shape.tokens.seq * shape.head_dim
    parts = []
    if shape.qk_norm:
        moved = head * (shape.heads + shape.kv_heads) * element_size
        flops = NORM_FLOPS * head * (shape.heads + shape.kv_heads)
        parts.append(element_wise("qk norms", flops, element_size, 2 * moved, 3 * moved))
    if shape.kv_heads != shape.heads:
        moved = 2 * head * (shape.kv_heads + shape.heads) * element_size
        parts.append(element_wise("key repetition", 0, element_size, moved, moved))
    if rotates:
        elements = 2 * head * shape.heads
        moved = 2 * elements * element_size
        flops = ROTATION_FLOPS * elements
        parts.append(element_wise("rotation", flops, element_size, moved, moved))
    return parts


def _stream(shape: Shape, batch: int, element_size: int, stored_size: int) -> list[Part]:
    """Return what is done to the residual stream [batch, seq, width]."""
    tokens = batch * shape.tokens.seq * shape.width
    normed, added = (2 * shape.depth + 1) * tokens, 2 * shape.depth * tokens
    parts = [
        element_wise(
            "norms",
            NORM_FLOPS * normed,
            stored_size,
            (stored_size + element_size) * normed,
            (2 * stored_size + element_size) * normed,
        )
    ]
    if shape.layer_scale:
        moved = added * element_size
        parts.append(element_wise("layer scale", added, element_size, 2 * moved, 3 * moved))
    # Backward: the gradients of stream and branch are added, and the branch's is handed on.
    moved = (2 * stored_size + element_size) * added
    return [*parts, element_wise("residual adds", added, stored_size, moved, moved)]


def _casts(n_matmul: int, element_size: int, stored_size: int) -> Part:
    """Return what autocast does to the weights, and to their gradients."""
    moved = (stored_size + element_size) * n_matmul
    return element_wise("weight casts", 0, stored_size, moved, moved)


def _update(n_params: int, stored_size: int) -> Part:
    update = Work(ADAMW_FLOPS * n_params, ADAMW_TRANSFERS * stored_size * n_params)
    return Part("optimizer update", "element-wise", stored_size, Work(0, 0), update)
