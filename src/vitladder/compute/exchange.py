"""What a device sends in one training step of a run, by how its devices share the work.

Bytes of collectives as in communication.py. Numbers of weights and gradients have the weights'
format, also under autocast. Left out: the norm for clipping, losses, held-out passes, and what
happens once a run. Where devices have unequal shares of a batch it is the largest.
"""

from __future__ import annotations

from math import prod

from vitladder.compute.communication import (
    all_gather_bytes,
    all_reduce_bytes,
    pipeline_bytes,
    reduce_scatter_bytes,
    tensor_parallel_bytes,
)
from vitladder.compute.formats import FORMATS
from vitladder.compute.plan import load_encoding, position_tables
from vitladder.compute.recompute import needs_last
from vitladder.compute.shape import Shape, shape_of
from vitladder.compute.weights import QK_NORM, Weight, weights
from vitladder.config import Config, ParallelConfig
from vitladder.layout import Layout, layout_of, pieces

# What torch's PowerSGDState asks for, unless told otherwise: a matrix must become half as large.
_LEAST_COMPRESSION = 2


def sent_in_a_step(config: Config) -> int:
    """Return the bytes that the busiest device sends in a step of a resolved config."""
    layout, shape = layout_of(config.parallel), shape_of(config.model)
    form = FORMATS[config.precision.name]
    found = weights(shape, position_tables(config, shape))
    sent = 0.0
    if layout.sharded:
        sent += _sharded(found, shape.depth, layout, pieces(config)) * form.weight
    elif layout.data > 1:
        sent += all_reduce_bytes(
            _gradients(found, shape, config.parallel, form.weight), layout.data
        )
    if layout.tensor > 1:
        sent += _tensor_parallel(config, found, shape, layout)
    if layout.stages > 1:
        learned = sum(prod(sizes) for sizes in position_tables(config, shape).values())
        sent += pipeline_bytes(shape, config.data.batch_size, layout.stages, form.weight)
        sent += all_reduce_bytes(learned * form.weight, layout.stages)
    return round(sent)


def _gradients(found: list[Weight], shape: Shape, parallel: ParallelConfig, size: int) -> int:
    """Return the bytes of the gradients that DDP reduces, in the format that compresses them.

    With powersgd, those of a step after compress_from, in PowerSGD's rank r: r (n + m) numbers of
    an [n, m] matrix where they are less than half of it (Vogels et al. 2019, algorithm 1).
    """
    sized = {"fp16": 2, "bf16": 2}.get(parallel.compress, size)
    rank = parallel.compress_rank if parallel.compress == "powersgd" else None
    return sized * sum(_sent_of(w.sizes, rank) * (shape.depth if w.in_blocks else 1) for w in found)


def _sent_of(sizes: tuple[int, ...], rank: int | None) -> int:
    rows, columns = sizes[0], prod(sizes[1:])
    low = (rows + columns) * min(rows, columns, rank or 0)
    return low if rank and low * _LEAST_COMPRESSION < rows * columns else rows * columns


def _sharded(found: list[Weight], depth: int, layout: Layout, pieces: int) -> float:
    """Return the numbers that FSDP2 sends (Rajbhandari et al. 2020, ZeRO stage 3).

    Each micro-batch gathers a block's weights for the forward and again for the backward, and
    the others once; gradients are reduced and scattered once. Every tensor is padded in its first
    dimension to a multiple of the data groups: one of [1, ...] is sent by all.
    """
    sent = 0.0
    for weight in found:
        rows, *others = weight.of(layout.tensor)
        padded = -(-rows // layout.data) * layout.data * prod(others)
        gathers = (2 if weight.in_blocks else 1) * pieces
        once = gathers * all_gather_bytes(padded, layout.data)
        once += reduce_scatter_bytes(padded, layout.data)
        sent += once * (depth if weight.in_blocks else 1)
    return sent


def _tensor_parallel(config: Config, found: list[Weight], shape: Shape, layout: Layout) -> float:
    """Return the bytes of tensor parallelism: tokens in both directions, and what heads share.

    Tokens are reduced in the products' format, their gradients in the stream's. A whole block that
    is computed again reduces again what attention made of them, and what the perceptron did where
    that is needed. In each micro-batch the gradients of what acts on heads (their norms, learned
    places that turn or weigh them) are summed over the devices.
    """
    form, encoding = FORMATS[config.precision.name], load_encoding(config)
    images = -(-config.data.batch_size // layout.data)
    shared = shape.depth * sum(prod(w.sizes) for w in found if w.name == QK_NORM)
    if encoding.rotates or encoding.biases:
        shared += sum(prod(sizes) for sizes in position_tables(config, shape).values())
    sent = all_reduce_bytes(shared * form.weight, layout.tensor) * pieces(config)
    sent += tensor_parallel_bytes(shape, images, layout.tensor, form.activation, form.weight)
    if config.parallel.remat == "block":
        branches = 2 if needs_last(config.model) else 1
        forward = tensor_parallel_bytes(shape, images, layout.tensor, form.activation, 0)
        sent += forward * branches / 2
    return sent
