"""How the flash ops run on DTensors: each device computes its own images or its own heads."""

from __future__ import annotations

from typing import Any

import torch
from torch.distributed.tensor import Partial, Placement, Replicate, Shard
from torch.distributed.tensor.experimental import register_sharding

from ._flash_shapes import WANT_BIAS, WANT_K, WANT_Q, WANT_V

Placements = tuple[list[Placement], list[Placement | None]]
BATCH, HEADS = 0, 1


def _bias(bias: Any, dim: int) -> tuple[Placement | None, Placement]:
    """Return how a bias and its gradient lie when dim is sharded.

    A bias that is broadcast along dim is whole on every device, and each has a part of its sum.
    """
    if bias is None:
        return None, Replicate()
    if bias.shape[dim] == 1:
        return Replicate(), Partial("sum")
    return Shard(dim), Shard(dim)


@register_sharding(torch.ops.vitladder.flash_forward.default)  # type: ignore[untyped-decorator]
def shard_forward(
    q: Any, k: Any, v: Any, bias: Any, causal: bool, scale: float
) -> list[Placements]:
    """Everything whole, or batch or heads split alike in all inputs and outputs."""
    del q, k, v, causal, scale
    whole = None if bias is None else Replicate()
    ways: list[Placements] = [([Replicate()] * 2, [*[Replicate()] * 3, whole, None, None])]
    for dim in (BATCH, HEADS):
        split = Shard(dim)
        ways.append(([split] * 2, [split, split, split, _bias(bias, dim)[0], None, None]))
    return ways


@register_sharding(torch.ops.vitladder.flash_backward.default)  # type: ignore[untyped-decorator]
def shard_backward(
    dout: Any, dlse: Any, q: Any, k: Any, v: Any, bias: Any, out: Any, lse: Any, wanted: int,
    causal: bool, scale: float,
) -> list[Placements]:  # fmt: skip
    """As forward; a gradient that is not wanted is empty, and whole everywhere."""
    del dout, q, k, v, out, lse, causal, scale

    def way(split: Placement, added: Placement | None, dbias: Placement) -> Placements:
        outputs = [split if wanted & bit else Replicate() for bit in (WANT_Q, WANT_K, WANT_V)]
        upstream = [split, None if dlse is None else split]
        rest: list[Placement | None] = [split, split, split, added, split, split, None, None, None]
        return [*outputs, dbias if wanted & WANT_BIAS else Replicate()], [*upstream, *rest]

    ways = [way(Replicate(), None if bias is None else Replicate(), Replicate())]
    return ways + [way(Shard(dim), *_bias(bias, dim)) for dim in (BATCH, HEADS)]
