"""FSDP2: weights, gradients and optimizer state split over the data groups, block by block."""

from __future__ import annotations

from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, fully_shard

from vitladder.train.model import PlacedTransformer


def shard_fully(model: PlacedTransformer, mesh: DeviceMesh) -> None:
    """Split every parameter by its first dimension over a one-dimensional mesh, in place.

    A block's weights are gathered when it runs (Rajbhandari et al. 2020, ZeRO stage 3); those
    outside of the blocks stay gathered from the forward to the backward.
    """
    for block in model.blocks:
        fully_shard(block, mesh=mesh, reshard_after_forward=True)
    fully_shard(model, mesh=mesh, reshard_after_forward=False)


def gather_no_more(model: PlacedTransformer) -> None:
    """Free what a forward without a backward has gathered: parameters are the shards again."""
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.reshard()
