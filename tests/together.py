"""Processes of this machine that train together, as torchrun would start them."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

import pytorch_lightning as lightning
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from vitladder.compose import compose_config
from vitladder.compute.plan import plan
from vitladder.config import Config, DataShape
from vitladder.data.cache import prepare
from vitladder.runs.invocation import current
from vitladder.runs.metrics import read_rows
from vitladder.runs.tracking import NoTracker
from vitladder.train.device import pick_device
from vitladder.train.fit import Outcome, Surroundings, fit
from vitladder.train.task import resolved
from vitladder.train.world import joined


@dataclass(frozen=True)
class Case:
    """A run to be trained in a folder, and who looks on."""

    config: Config
    data: DataShape
    folder: Path
    watchers: Sequence[lightning.Callback] = field(default_factory=tuple)


class StopAt(lightning.Callback):
    """Sends this process SIGTERM in the middle of a step, on one process of the run."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_start(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        batch: object,
        batch_idx: int,
    ) -> None:
        if trainer.global_step == self.step and trainer.global_rank == trainer.world_size - 1:
            os.kill(os.getpid(), signal.SIGTERM)


def case(folder: Path, *settings: str, watchers: Sequence[lightning.Callback] = ()) -> Case:
    """The run of these settings, with a row for every step and one CPU thread a process."""
    always = ["logger=csv", "log_every=1", "threads=1", "parallel.device=cpu"]
    config, data = resolved(compose_config([*always, *settings]))
    return Case(config, data, folder, tuple(watchers))


def each_process(count: int, work: Callable[..., None], *arguments: object) -> None:
    """Call work(*arguments) in `count` new processes, which are the ranks of one world."""
    mp.spawn(_enter, (count, free_port(), work, arguments), nprocs=count)


def train(given: Case) -> Outcome:
    """Train one run with the other processes, or alone."""
    config = given.config
    device = pick_device(config.parallel.device)
    size, channels = config.model.image_size or 0, config.model.channels or 0
    cache = given.folder.parent / ".cache"
    prepared = prepare(config.data, image_size=size, channels=channels, folder=cache)
    given.folder.mkdir(parents=True, exist_ok=True)
    with joined(config.parallel, device) as world:
        invocation = replace(current(), multirun=True)
        around = Surroundings(
            given.folder, device, NoTracker(), invocation, world, list(given.watchers)
        )
        return fit(config, plan(config, given.data), prepared, around)


def losses(folder: Path) -> list[float]:
    """The training loss of every step."""
    return [float(row["train_loss"]) for row in read_rows(folder)]


def free_port() -> int:
    """A port that no process of this machine listens to."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _enter(
    rank: int, count: int, port: int, work: Callable[..., None], arguments: Sequence[object]
) -> None:
    torch.set_num_threads(1)
    if count > 1:
        os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(count)}
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        os.environ["TORCHELASTIC_RUN_ID"] = "test"
        # One group for all that these processes do: a port cannot serve two in turn at once.
        dist.init_process_group("gloo", timeout=timedelta(seconds=120))
    work(*arguments)
    if count > 1:
        # One that leaves while the other still speaks to it aborts.
        dist.barrier()
        dist.destroy_process_group()
