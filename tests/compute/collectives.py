"""Counts what the trained model's own collectives send, on one of devices that are not there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from arithmetic import autocast, built, loss_of
from torch import Tensor
from torch.distributed.device_mesh import init_device_mesh
from torch.nn.parallel import DistributedDataParallel
from torch.testing._internal.distributed.fake_pg import FakeStore
from torch.utils._python_dispatch import TorchDispatchMode

from vitladder.compute.communication import all_reduce_bytes, reduce_scatter_bytes
from vitladder.config import Config
from vitladder.layout import layout_of, pieces, share
from vitladder.train.compression import compression_hook
from vitladder.train.model import PlacedTransformer
from vitladder.train.parallel import share_model
from vitladder.train.pipeline import Pipeline


class Sent(TorchDispatchMode):
    """Sums the bytes that a device sends, if collectives go around a ring."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.layout = layout_of(config.parallel)
        self.bytes = 0.0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        namespace, name = func.name().split("::")
        tensors = [t for t in _flat(args) if isinstance(t, Tensor)]
        if namespace == "_c10d_functional" and name == "all_reduce":
            self.bytes += all_reduce_bytes(_bytes(tensors), self.layout.tensor)
        elif namespace == "c10d":
            self.bytes += self._of_process_group(name, tensors)
        return func(*args, **(kwargs or {}))

    def _of_process_group(self, name: str, tensors: list[Tensor]) -> float:
        world = max(self.layout.data, self.layout.stages)
        if name == "send":
            return _bytes(tensors)
        if name == "allreduce_":
            return all_reduce_bytes(_bytes(tensors), world)
        if name in ("_allgather_base_", "_reduce_scatter_base_"):
            return reduce_scatter_bytes(max(_bytes([t]) for t in tensors), world)
        return 0.0


def sent_by_torch(config: Config, rank: int = 0, steps: int = 1) -> float:
    """The bytes that a rank sends in the last of so many steps of the real model."""
    with devices(config, rank):
        _, gradient = shared(config, rank)
        for _ in range(steps):
            with Sent(config) as sent:
                gradient()
        return sent.bytes


def shared(config: Config, rank: int) -> tuple[PlacedTransformer, Callable[[], object]]:
    """What a rank has of the model, and what computes the gradient of its share of a batch."""
    model, layout = built(config), layout_of(config.parallel)
    if layout.stages > 1:
        batch = config.data.batch_size
        pipeline = Pipeline(model, rank, layout.stages, batch, pieces(config))
        return model, _in_format(config, lambda: pipeline.gradient(*_batch(config, batch), None))
    if layout.sharded or layout.tensor > 1:
        names = ("data_parallel", "tensor_parallel")
        mesh = init_device_mesh("cpu", (layout.data, layout.tensor), mesh_dim_names=names)
        share_model(model, config, mesh)
        return model, _in_format(config, lambda: _accumulate(config, model))
    whole = DistributedDataParallel(model)
    if config.parallel.compress != "none":
        state, hook = compression_hook(config.parallel)
        whole.register_comm_hook(state, hook)
    return model, _in_format(config, lambda: _accumulate(config, whole))


def _in_format(config: Config, gradient: Callable[[], object]) -> Callable[[], None]:
    """Lightning's autocast is around all of a step: it keeps the weights that it casts so long."""

    def whole_step() -> None:
        with autocast(config):
            gradient()

    return whole_step


def _accumulate(config: Config, called: Any) -> None:
    layout = layout_of(config.parallel)
    first, end = share(config.data.batch_size, 0, layout.data)
    images, labels = _batch(config, end - first)
    for number in range(pieces(config)):
        last = number == pieces(config) - 1
        if layout.sharded:
            called.set_requires_gradient_sync(last)
        elif layout.tensor == 1:
            called.require_backward_grad_sync = last
        piece = slice(*share(end - first, number, pieces(config)))
        torch.autograd.backward(loss_of(config, called, images[piece], labels[piece]))


def _batch(config: Config, count: int) -> tuple[Tensor, Tensor]:
    size = config.model.image_size or 0
    images = torch.randn(count, config.model.channels or 0, size, size)
    return images, torch.zeros(count, dtype=torch.long)


@contextmanager
def devices(config: Config, rank: int) -> Iterator[None]:
    """Let collectives of this process return at once, as if all the others had taken part.

    DDP wants results: it has a process group of one, whose messages are as long.
    """
    world = layout_of(config.parallel).devices
    if config.parallel.name == "ddp":
        dist.init_process_group("gloo", rank=0, world_size=1, store=dist.HashStore())
    else:
        dist.init_process_group("fake", rank=rank, world_size=world, store=FakeStore())
    try:
        yield
    finally:
        dist.destroy_process_group()


def _flat(value: Any) -> list[Any]:
    if isinstance(value, list | tuple):
        return [item for part in value for item in _flat(part)]
    return [value]


def _bytes(tensors: list[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
