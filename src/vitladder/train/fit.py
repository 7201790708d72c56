"""Lightning's part of a run: fit from the start or a checkpoint, and what came of it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any, TextIO

import pytorch_lightning as lightning
import torch

from vitladder.compute.plan import Plan, validate_every
from vitladder.config import Config
from vitladder.data.cache import Prepared
from vitladder.data.loader import TrainLoader, ValLoader, train_loader
from vitladder.layout import share
from vitladder.runs import metrics
from vitladder.runs.invocation import Invocation
from vitladder.runs.record import Results
from vitladder.runs.tracking import Tracker
from vitladder.train.checkpoint import Checkpoints, Interrupted
from vitladder.train.checkpoint_files import CheckpointFiles, Saved, agreed_checkpoint
from vitladder.train.compression import CompressingDDP
from vitladder.train.device import peak_flops
from vitladder.train.divergence import Diverged
from vitladder.train.memory import peak_memory, reset_peak_memory
from vitladder.train.module import Classifier
from vitladder.train.parallel import strategy_of
from vitladder.train.precision import (
    InEffect,
    matmul_precision,
    precision_plugin,
)
from vitladder.train.progress import make_progress
from vitladder.train.quiet import quiet
from vitladder.train.signals import Signals
from vitladder.train.watch import Outlets, Watch
from vitladder.train.world import World, cluster_environment

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """How a fit ended: `complete`, `diverged` or `interrupted`, why, and what it measured.

    `started` and `earlier_seconds` are of the sessions before this one, if it went on from them;
    `measured` are facts about how it was trained, for the record's environment.
    """

    status: str
    error: str | None
    results: Results
    started: str
    earlier_seconds: float
    measured: dict[str, Any]


@dataclass(frozen=True)
class Surroundings:
    """Where a run trains, who is told of it, the command and the processes it belongs to.

    `watchers` see each step before what measures and saves it does.
    """

    folder: Path
    device: torch.device
    tracker: Tracker
    invocation: Invocation
    world: World = field(default_factory=World)
    watchers: Sequence[lightning.Callback] = ()


def fit(config: Config, plan: Plan, prepared: Prepared, around: Surroundings) -> Outcome:
    """Train to the plan's last step, going on from the folder's checkpoint if there is one."""
    world, every = around.world, validate_every(config, plan)
    saved = agreed_checkpoint(around.folder, world)
    first = saved.step if saved else 0
    _say_where_it_begins(config, first)
    batches = _batches(config, plan, prepared, world)
    alone = world.leads and not around.invocation.multirun
    # The row of the last step waits for the validation after the fit, which comes again.
    whole_rows = first - 1 if first == plan.steps and first % every else first
    with (
        _rows(around, whole_rows) as rows,
        closing(make_progress(plan.steps, around.folder.name, alone=alone)) as progress,
    ):
        watch = _watch(config, plan, Outlets(rows, around.tracker, progress), around)
        signals = Signals(around.invocation, around.folder.parent)
        saver = Checkpoints(
            around.folder,
            rows,
            config.checkpoint_seconds,
            signals,
            batches[0],
            every,
            watch.speed,
            world,
        )
        module, effect = Classifier(config, plan.steps, world), InEffect(config.precision.name)
        reset_peak_memory(around.device)
        with signals.noted(), quiet(), matmul_precision(config.precision.name):
            trainer = _trainer(config, plan, around, [*around.watchers, effect, watch, saver])
            status, error = _trained(trainer, module, batches, saved, watch)
        if world.leads:
            metrics.to_disk(rows)
    results = _results(watch, trainer.global_step, around.device)
    saver.gather_skipped()
    measured: dict[str, Any] = {"effective_precision": effect.found, **prepared.skipped.facts()}
    if isinstance(trainer.strategy, CompressingDDP) and config.parallel.compress != "none":
        measured["compressed_buckets"] = trainer.strategy.hook_calls
    return Outcome(status, error, results, saver.started, saver.earlier_seconds, measured)


def _say_where_it_begins(config: Config, first: int) -> None:
    if first:
        log.info("going on from step %d", first)
        if config.parallel.compress == "powersgd":
            log.info("PowerSGD begins anew: its errors are in no checkpoint")


def _trained(
    trainer: lightning.Trainer,
    module: Classifier,
    batches: tuple[TrainLoader, ValLoader],
    saved: Saved | None,
    watch: Watch,
) -> tuple[str, str | None]:
    """Train, measure the last step, and return the status with what it was that ended the run."""
    try:
        trainer.fit(module, *batches, ckpt_path=saved.file if saved else None)
        if watch.held_out_step != watch.plan.steps:
            trainer.validate(module, batches[1], verbose=False)
    except (Diverged, Interrupted) as stop:
        log.warning(str(stop))
        return "diverged" if isinstance(stop, Diverged) else "interrupted", str(stop)
    return "complete", None


def _batches(
    config: Config, plan: Plan, prepared: Prepared, world: World
) -> tuple[TrainLoader, ValLoader]:
    """Return this process's share of the training batches and of the held-out split."""
    rank, of = world.data_rank, world.layout.data
    training = train_loader(
        prepared,
        config.data,
        seed=config.seed,
        steps=plan.steps,
        classes=config.model.classes or len(prepared.classes),
        own=slice(*share(config.data.batch_size, rank, of)),
    )
    return training, ValLoader(prepared, config.data, rank, of)


def _rows(around: Surroundings, last_step: int) -> TextIO:
    """Open metrics.csv; processes that follow write what nobody reads."""
    if not around.world.leads:
        return StringIO()
    return metrics.open_rows(around.folder, last_step=last_step)


def _watch(config: Config, plan: Plan, outlets: Outlets, around: Surroundings) -> Watch:
    peak = peak_flops(around.device, config.precision.name)
    return Watch(
        plan,
        config.data.batch_size,
        config.log_every,
        validate_every(config, plan),
        outlets,
        None if peak is None else peak * around.world.layout.devices,
        around.world,
    )


def _trainer(
    config: Config, plan: Plan, around: Surroundings, callbacks: list[lightning.Callback]
) -> lightning.Trainer:
    trainer = lightning.Trainer(
        accelerator={"cuda": "gpu"}.get(around.device.type, around.device.type),
        devices=config.parallel.devices,
        num_nodes=config.parallel.nodes,
        strategy=strategy_of(config, around.world),
        max_steps=plan.steps,
        max_epochs=-1,
        val_check_interval=validate_every(config, plan),
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        callbacks=callbacks,
        plugins=[
            CheckpointFiles(),
            cluster_environment(),
            precision_plugin(config.precision.name, around.device),
        ],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        default_root_dir=around.folder,
    )
    leave_signals(trainer)
    return trainer


def leave_signals(trainer: lightning.Trainer) -> None:
    """Keep Lightning from handling SIGTERM itself, as `Signals` does.

    On several devices it would ask all of them before every step, through the GPU, and from
    within its handler, where another collective may be on its way.
    """
    owners = {
        trainer._signal_connector: "register_signal_handlers",
        trainer.fit_loop.epoch_loop: "_broadcast_sigterm_tensor",
    }
    for owner, name in owners.items():
        assert callable(getattr(owner, name))  # noqa: S101  # a Lightning that has it no more
        setattr(owner, name, lambda: None)


def _results(watch: Watch, steps: int, device: torch.device) -> Results:
    held_out, speed = watch.held_out, watch.speed.images_per_s
    images = steps * watch.batch_size
    return Results(
        train_loss=watch.train_loss,
        val_loss=held_out.loss if held_out else None,
        best_val_loss=watch.best_val_loss,
        val_error=held_out.error if held_out else None,
        val_top5_error=held_out.top5_error if held_out else None,
        images=images,
        steps=steps,
        flops=float(images * watch.plan.flops_per_image),
        images_per_s=speed,
        mfu=watch.mfu(speed),
        peak_memory_bytes=peak_memory(device),
    )
