"""The same run on one device and on several, in every way: losses, weights, and bytes sent."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import torch.distributed as dist
from torch.multiprocessing.spawn import spawn

from vitladder.bench.sent import SentInAStep
from vitladder.compose import compose_config
from vitladder.compute.exchange import sent_in_a_step
from vitladder.compute.plan import plan
from vitladder.config import Config, DataShape
from vitladder.data.cache import prepare
from vitladder.runs.invocation import current
from vitladder.runs.metrics import read_rows
from vitladder.runs.tracking import NoTracker
from vitladder.train.checkpoint_files import saved_checkpoints
from vitladder.train.device import pick_device
from vitladder.train.fit import Surroundings, fit
from vitladder.train.task import resolved
from vitladder.train.world import joined

# A little of everything that could go wrong: shared heads, learned places, drop-path, tokens. The
# learning rate is a ViT's usual one: five times as high, rounding grows to five times as much.
RUN = (
    "model=micro-16 model.width=32 model.heads=4 model.kv_heads=2 model.depth=4 model.patch=2 "
    "model.mlp=swiglu model.mlp_ratio=3 model.pool=token model.registers=1 model.drop_path=0.1 "
    "position=rope_mixed data.batch_size=32 optim.lr=1e-3 optim.clip=0.5 compute.steps=30 "
    "evaluations=1 log_every=1 logger=csv checkpoint_seconds=3600"
)
LAYOUTS = (
    "parallel=ddp",
    "parallel=fsdp",
    "parallel=tp",
    "parallel=pipeline",
    "parallel=fsdp_tp",
    "parallel=ddp parallel.compress=fp16",
    "parallel=ddp parallel.compress=bf16",
    "parallel=ddp parallel.compress=powersgd parallel.compress_rank=8",
    "parallel=ddp precision=bf16",
    "parallel=fsdp precision=bf16",
    "parallel=tp precision=bf16",
    "parallel=pipeline precision=bf16",
    "parallel=fsdp_tp precision=bf16",
)
# PowerSGD sends less only after its first steps, which sort the buckets too.
_COUNTED = 20


@dataclass(frozen=True)
class Shared:
    """One layout: its settings and processes, largest differences to one device, bytes a step.

    `buckets` are those of gradients that were compressed; `counted` is None where it is not seen.
    """

    settings: str
    processes: int
    loss: float
    weight: float
    predicted: int
    counted: int | None
    buckets: int


@dataclass(frozen=True)
class _Case:
    settings: str
    config: Config
    data: DataShape
    folder: Path


def compare_layouts(
    settings: Sequence[str], folder: Path, layouts: Sequence[str] = LAYOUTS
) -> list[Shared]:
    """Train the run with these settings on one device and in every layout; return how they differ.

    On a CPU each device is a process with one thread.
    """
    one, *cases = [
        _case(number, way, settings, folder) for number, way in enumerate(["", *layouts])
    ]
    for processes in sorted({case.config.parallel.devices for case in (one, *cases)}):
        own = [c for c in (one, *cases) if c.config.parallel.devices == processes]
        arguments = (processes, _free_port(), own)
        spawn(_process, arguments, nprocs=processes)  # type: ignore[no-untyped-call]
    return [_compared(one, case) for case in cases]


def format_layouts(rows: Sequence[Shared]) -> str:
    """Return the table."""
    lines = [f"{'layout':<38}  processes  |loss|   |weight|  bytes a step: predicted, counted"]
    for row in rows:
        layout = row.settings.replace("parallel=", "").replace("parallel.", "")
        counted = "not seen" if row.counted is None else f"{row.counted:,}"
        lines.append(
            f"{layout:<38}  {row.processes:>9}  {row.loss:.1e}  {row.weight:.1e}  "
            f"{row.predicted:>23,}  {counted:>9}"
        )
    return "\n".join(lines)


def _case(number: int, way: str, settings: Sequence[str], folder: Path) -> _Case:
    config, data = resolved(compose_config([*RUN.split(), *settings, *way.split()]))
    return _Case(way, replace(config, threads=1), data, folder / str(number))


def _process(rank: int, count: int, port: int, cases: Sequence[_Case]) -> None:
    """Train the cases, one after the other, as one of so many processes."""
    torch.set_num_threads(1)
    if count > 1:
        os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(count)}
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        os.environ["TORCHELASTIC_RUN_ID"] = "bench"
    with joined(cases[0].config.parallel, pick_device(cases[0].config.parallel.device)):
        for case in cases:
            _train(case)
        if count > 1:
            # One that leaves while the other still speaks to it aborts.
            dist.barrier()


def _train(case: _Case) -> None:
    config, counter = case.config, SentInAStep(_COUNTED)
    device = pick_device(config.parallel.device)
    size, channels = config.model.image_size or 0, config.model.channels or 0
    prepared = prepare(config.data, image_size=size, channels=channels, folder=case.folder.parent)
    case.folder.mkdir(exist_ok=True)
    with joined(config.parallel, device) as world:
        around = Surroundings(
            case.folder, device, NoTracker(), replace(current(), multirun=True), world, [counter]
        )
        outcome = fit(config, plan(config, case.data), prepared, around)
        [sent] = world.largest([counter.bytes])
        if world.leads:
            buckets = outcome.measured.get("compressed_buckets", 0)
            (case.folder / "sent.txt").write_text(f"{sent} {buckets}", encoding="ascii")


def _compared(one: _Case, case: _Case) -> Shared:
    losses = [list(_losses(each.folder)) for each in (one, case)]
    weights = [_weights(each.folder) for each in (one, case)]
    sent, buckets = (int(number) for number in (case.folder / "sent.txt").read_text().split())
    return Shared(
        settings=case.settings,
        processes=case.config.parallel.devices,
        loss=max(abs(a - b) for a, b in zip(*losses, strict=True)),
        weight=max(float((weights[0][k] - weights[1][k]).abs().max()) for k in weights[0]),
        predicted=sent_in_a_step(case.config),
        # PowerSGD goes on in threads that no counter follows.
        counted=None if case.config.parallel.compress == "powersgd" else sent,
        buckets=buckets,
    )


def _losses(folder: Path) -> Iterator[float]:
    return (float(row["train_loss"]) for row in read_rows(folder))


def _weights(folder: Path) -> dict[str, torch.Tensor]:
    last = saved_checkpoints(folder)[0].file
    saved = torch.load(last, map_location="cpu", weights_only=True)
    return {name: value.double() for name, value in saved["state_dict"].items()}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
