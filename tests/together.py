"""Runs that several processes of this machine train together, as torchrun would start them."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from vitladder.compose import compose_config
from vitladder.runs.invocation import current
from vitladder.runs.metrics import read_rows
from vitladder.runs.record import Record, read_record
from vitladder.train.job import Job
from vitladder.train.loop import train
from vitladder.train.task import place_of, resolved

ALWAYS = ["logger=csv", "log_every=1", "threads=1", "parallel.device=cpu"]


def job_of(settings: Sequence[str]) -> Job:
    """The job that `vitladder train` would make of these settings."""
    config, data = resolved(compose_config([*ALWAYS, *settings]))
    place = place_of(config)
    place.folder.mkdir(parents=True, exist_ok=True)
    return Job(config, data, place, replace(current(), multirun=True))


def each_process(count: int, work: Callable[..., None], *arguments: object) -> None:
    """Call work(rank, *arguments) in `count` new processes, which find each other by one port."""
    mp.spawn(_enter, (count, free_port(), work, arguments), nprocs=count)


def train_all(rank: int, count: int, jobs: Sequence[Job]) -> None:
    """Train the jobs one after the other, with the other processes where there are any."""
    for job in jobs:
        if count == job.config.parallel.devices:
            train(job)


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
    work(rank, *arguments)
    if count > 1:
        # One that leaves while the other still speaks to it aborts.
        dist.barrier()
        dist.destroy_process_group()


def losses(folder: Path) -> list[float]:
    """The training loss of every step."""
    return [float(row["train_loss"]) for row in read_rows(folder)]


def record_of(folder: Path) -> Record:
    """The record of a run that has ended."""
    record = read_record(folder)
    assert record is not None
    return record


def weights(folder: Path) -> Mapping[str, torch.Tensor]:
    """The weights of the run's last checkpoint."""
    saved = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    return dict(saved["state_dict"])
