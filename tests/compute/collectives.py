"""Counts what the trained model's own collectives send, on one of devices that are not there."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
import torch.distributed as dist
from arithmetic import autocast, built, loss_of
from torch import Tensor
from torch.distributed.device_mesh import init_device_mesh
from torch.nn.parallel import DistributedDataParallel
from torch.testing._internal.distributed.fake_pg import FakeStore

from vitladder.bench.sent import Sent
from vitladder.config import Config
from vitladder.layout import layout_of, pieces, share
from vitladder.train.compression import compression_hook
from vitladder.train.model import PlacedTransformer
from vitladder.train.parallel import share_model
from vitladder.train.pipeline import Pipeline


def sent_by_torch(config: Config, rank: int = 0, steps: int = 1) -> float:
    """The bytes that a rank sends in the last of so many steps of the real model."""
    with devices(config, rank):
        _, gradient = shared(config, rank)
        for _ in range(steps):
            with Sent() as sent:
                gradient()
    if config.parallel.name != "ddp":
        return sum(message.sent for message in sent.messages)
    world = layout_of(config.parallel).devices
    return sum(replace(message, processes=world).sent for message in sent.messages)


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
        # The threads of gloo let go of what they were called with before the group goes.
        gc.collect()
        dist.barrier()
    finally:
        dist.destroy_process_group()
