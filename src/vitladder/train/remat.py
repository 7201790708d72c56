"""Activations that are computed again in the backward instead of being kept."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import (
    CheckpointPolicy,
    checkpoint,
    create_selective_checkpoint_contexts,
)

from vitladder.train.block import Places

Remat = Callable[[nn.Module, Tensor, Places, Tensor | None], Tensor]
"""Calls a block on tokens, places and drop-path's factors, keeping less than the block would."""

# What devices that share a layer have sent each other is not sent again.
_KEPT = (
    torch.ops.aten.mm.default,
    torch.ops.aten.addmm.default,
    torch.ops._c10d_functional.all_reduce.default,
)


def remat_of(name: str) -> Remat | None:
    """Return what calls the blocks: None for "none", which keeps what each block keeps.

    "block" keeps a block's input alone (Chen et al. 2016). "selective" keeps the outputs of the
    products with weights too and computes the rest again, attention's products among them
    (Korthikanti et al. 2022, section 5).
    """
    if name == "none":
        return None
    if name == "block":
        return _whole_block
    return _all_but_products


def _whole_block(block: nn.Module, tokens: Tensor, places: Places, kept: Tensor | None) -> Tensor:
    return cast(Tensor, checkpoint(block, tokens, places, kept, use_reentrant=False))


def _all_but_products(
    block: nn.Module, tokens: Tensor, places: Places, kept: Tensor | None
) -> Tensor:
    contexts = partial(create_selective_checkpoint_contexts, _keep_products)
    out = checkpoint(block, tokens, places, kept, use_reentrant=False, context_fn=contexts)
    return cast(Tensor, out)


def _keep_products(context: Any, operation: Any, *arguments: Any, **options: Any) -> Any:
    del context, arguments, options
    if operation in _KEPT:
        return CheckpointPolicy.MUST_SAVE
    return CheckpointPolicy.PREFER_RECOMPUTE
