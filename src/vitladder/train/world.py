"""World: the processes that train one run together, one to a device, and how they agree."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from lightning_fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from torch import Tensor

from vitladder.config import ParallelConfig
from vitladder.errors import UserError
from vitladder.layout import Layout, layout_of
from vitladder.runs.sweep import Place
from vitladder.together import processes_together

# A rank may wait for another that decodes a large data set, or writes a large checkpoint.
_PATIENCE = timedelta(minutes=30)


@dataclass(frozen=True)
class World:
    """This process among those of its run: its rank, its number on this machine, the layout."""

    rank: int = 0
    local_rank: int = 0
    layout: Layout = field(default_factory=Layout)

    @property
    def leads(self) -> bool:
        """Whether this process writes the record, the rows, the log and the checkpoints."""
        return self.rank == 0

    @property
    def data_rank(self) -> int:
        """Which share of the batch this process has."""
        return self.layout.data_rank(self.rank)

    def sum(self, values: Tensor) -> Tensor:
        """Return the sum over all processes of a tensor on the CPU."""
        if self.layout.devices > 1:
            dist.all_reduce(values)
        return values

    def largest(self, values: list[int]) -> list[int]:
        """Return, number by number, the largest that any process has."""
        if self.layout.devices == 1:
            return values
        numbers = torch.tensor(values, dtype=torch.int64)
        dist.all_reduce(numbers, dist.ReduceOp.MAX)
        return [int(number) for number in numbers]

    def same(self, value: int) -> bool:
        """Return whether all processes have the same number, of 62 bits at most."""
        least, most = self.largest([-value, value])
        return -least == most

    def gathered(self, value: dict[str, Any]) -> list[dict[str, Any]]:
        """Return what each process has, of plain numbers and text."""
        if self.layout.devices == 1:
            return [value]
        found: list[Any] = [None] * self.layout.devices
        dist.all_gather_object(found, value)
        return found

    def as_leader_says(self, value: int) -> int:
        """Return the number that the first process has."""
        numbers = torch.tensor([value], dtype=torch.int64)
        if self.layout.devices > 1:
            dist.broadcast(numbers, src=0)
        return int(numbers)


def cluster_environment() -> ClusterEnvironment:
    """Return what tells this process its rank: torchrun's variables, Slurm's, or nothing."""
    if TorchElasticEnvironment.detect():
        return TorchElasticEnvironment()
    if processes_together() > 1:
        return SLURMEnvironment(auto_requeue=False)
    return LightningEnvironment()


@contextmanager
def joined(parallel: ParallelConfig, device: torch.device) -> Iterator[World]:
    """Meet the other processes of the run, for as long as the outermost such block takes.

    Tensors on the CPU go through gloo, so that agreeing on what comes next waits for no GPU.
    """
    layout, environment = layout_of(parallel), cluster_environment()
    if layout.devices == 1:
        yield World()
        return
    world = World(environment.global_rank(), environment.local_rank(), layout)
    if dist.is_initialized():
        yield world
        return
    os.environ["MASTER_ADDR"] = environment.main_address
    os.environ["MASTER_PORT"] = str(environment.main_port)
    dist.init_process_group(
        "gloo" if device.type == "cpu" else "cpu:gloo,cuda:nccl",
        rank=world.rank,
        world_size=layout.devices,
        timeout=_PATIENCE,
    )
    # After an exception the connections end with this process, which lets the others know.
    yield world
    # One that leaves while another still speaks to it makes that one fail.
    dist.barrier()
    dist.destroy_process_group()


def check_shared(place: Place, world: World) -> None:
    """Raise UserError on all processes where one does not see the folder that the first made."""
    [missing] = world.largest([int(not place.folder.is_dir())])
    if missing:
        raise UserError(
            f"not all processes of this run find {place.folder}; `outputs` must be a folder that "
            f"all nodes share"
        )
