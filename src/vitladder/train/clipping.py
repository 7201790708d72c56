"""Clipping by the norm of the whole gradient, wherever its parts lie."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.nn.utils import get_total_norm


def clip_shared(parameters: Sequence[nn.Parameter], copies: Sequence[int], most: float) -> Tensor:
    """Scale the gradients to a norm of at most `most`, and return the norm they had.

    `copies` is on how many processes each parameter's local part lies. A sum of squares over all
    processes has each part as often, so that it is divided by it: parts of any mesh add up.
    """
    parts: dict[int, list[Tensor]] = defaultdict(list)
    for parameter, count in zip(parameters, copies, strict=True):
        if parameter.grad is not None:
            parts[count].append(local(parameter.grad))
    first = local(parameters[0])
    wide = torch.promote_types(first.dtype, torch.float32)
    squares = torch.zeros((), dtype=wide, device=first.device)
    for count, gradients in parts.items():
        squares += get_total_norm(gradients).to(wide).square() / count
    dist.all_reduce(squares)
    norm = squares.sqrt()
    scale = torch.clamp(most / (norm + 1e-6), max=1.0)
    for gradients in parts.values():
        torch._foreach_mul_(gradients, scale.to(gradients[0].dtype))
    return norm


def copies_of(parameter: nn.Parameter, world: int) -> int:
    """Return on how many of `world` processes a parameter's local part lies.

    One that is not split lies on all of them.
    """
    if not isinstance(parameter, DTensor):
        return world
    for size, placement in zip(parameter.device_mesh.shape, parameter.placements, strict=True):
        # FSDP2 over tensor parallelism has strided shards, which is_shard() does not know.
        world //= 1 if placement.is_replicate() else size
    return world


def local(tensor: Tensor) -> Tensor:
    """Return this process's part of a tensor."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor
