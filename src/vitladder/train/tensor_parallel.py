"""Tensor parallelism: devices share each layer, some heads and some hidden units to each.

Shoeybi et al. 2019, section 3: qkv and the perceptron's first product are split by columns, the
projection and its second product by rows, so that each branch needs one all-reduce.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Partial, Replicate
from torch.distributed.tensor.parallel import (
    ColwiseParallel,
    PrepareModuleInput,
    RowwiseParallel,
    parallelize_module,
)
from torch.distributed.tensor.parallel.style import ParallelStyle

from vitladder.compute.shape import Shape
from vitladder.extend.position import PositionEncoding
from vitladder.layout import share
from vitladder.train.block import PlacedAttention
from vitladder.train.model import PlacedTransformer

_PLAN: dict[str, type[ColwiseParallel] | type[RowwiseParallel]] = {
    "attn.qkv": ColwiseParallel,
    "attn.proj": RowwiseParallel,
    "mlp.fc1": ColwiseParallel,
    "mlp.fc1_g": ColwiseParallel,
    "mlp.fc1_x": ColwiseParallel,
    "mlp.fc2": RowwiseParallel,
}


@dataclass(frozen=True)
class MeshHeads:
    """The heads of this device among those of a one-dimensional mesh (a HeadShare)."""

    mesh: DeviceMesh
    heads: slice

    def whole_gradients(self, parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return parameters of all heads; their gradients are the sums over the devices.

        Each device sees what its own heads have to do with them.
        """
        return {name: self._whole_gradient(value) for name, value in parameters.items()}

    def of_heads(
        self, encoding: PositionEncoding, parameters: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """Return what the encoding turns this device's heads with."""
        count = self.heads.stop - self.heads.start
        return {
            name: value.narrow(encoding.head_axes[name], self.heads.start, count)
            if name in encoding.head_axes
            else value
            for name, value in parameters.items()
        }

    def _whole_gradient(self, parameter: Tensor) -> Tensor:
        shared = DTensor.from_local(parameter, self.mesh, [Replicate()], run_check=False)
        return shared.to_local(grad_placements=[Partial()])


def share_layers(model: PlacedTransformer, shape: Shape, mesh: DeviceMesh) -> None:
    """Split the layers of a whole model over a one-dimensional mesh, in place."""
    devices, rank = mesh.size(), mesh.get_local_rank()
    model.head_share = MeshHeads(mesh, slice(*share(shape.heads, rank, devices)))
    order = by_device(shape, devices)
    for block in model.blocks:
        attention = block.attn
        assert isinstance(attention, PlacedAttention)  # noqa: S101  # for the type checker
        with torch.no_grad():
            for rows in attention.qkv.parameters():
                rows.copy_(rows[order.to(rows.device)])
        attention.num_heads //= devices
        attention.kv_heads //= devices
        attention.head_share = model.head_share
        plan: dict[str, ParallelStyle] = {
            name: style() for name, style in _PLAN.items() if _has(block, name)
        }
        # SwiGLU multiplies its input twice: shared, the gradients of both are summed at once.
        plan["mlp"] = PrepareModuleInput(
            input_layouts=Replicate(), desired_input_layouts=Replicate()
        )
        parallelize_module(block, mesh, plan)


def by_device(shape: Shape, devices: int) -> Tensor:
    """Return the rows of the fused qkv such that those of each device lie together.

    All queries, keys and values, [q | k | v], become [q k v of the first device | ...], int64.
    """
    parts, first = [], 0
    for heads in (shape.heads, shape.kv_heads, shape.kv_heads):
        rows = heads * shape.head_dim
        parts.append(torch.arange(first, first + rows).chunk(devices))
        first += rows
    return torch.cat([part[device] for device in range(devices) for part in parts])


def _has(block: torch.nn.Module, name: str) -> bool:
    parent, _, child = name.partition(".")
    return hasattr(getattr(block, parent), child)
