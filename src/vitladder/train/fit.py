"""Lightning's part of a run: fit from the start or a checkpoint, and what came of it."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytorch_lightning as lightning
import torch

from vitladder.compute.plan import Plan, validate_every
from vitladder.config import Config
from vitladder.data.cache import Prepared
from vitladder.data.loader import ValLoader, train_loader
from vitladder.errors import UserError
from vitladder.runs import metrics
from vitladder.runs.invocation import Invocation
from vitladder.runs.record import Results
from vitladder.runs.tracking import Tracker
from vitladder.train import checkpoint
from vitladder.train.checkpoint import AtomicCheckpointIO, Checkpoints, Interrupted, Signals
from vitladder.train.memory import peak_memory, reset_peak_memory
from vitladder.train.module import Classifier
from vitladder.train.parallel import PRECISION, peak_flops
from vitladder.train.progress import make_progress
from vitladder.train.watch import Diverged, Outlets, Watch

log = logging.getLogger(__name__)

# What is said below these levels is of no use to who trains; torch warns that there is no CUDA.
_LEAST_LEVEL = {
    "pytorch_lightning": logging.WARNING,
    "lightning_fabric": logging.WARNING,
    "torch.utils.cpp_extension": logging.ERROR,
}


@dataclass(frozen=True)
class Outcome:
    """How a fit ended: `complete`, `diverged` or `interrupted`, why, and what it measured.

    `started` and `earlier_seconds` are of the sessions before this one, if it went on from them.
    """

    status: str
    error: str | None
    results: Results
    started: str
    earlier_seconds: float


@dataclass(frozen=True)
class Surroundings:
    """Where a run trains, who is told of it, and the command that it belongs to."""

    folder: Path
    device: torch.device
    tracker: Tracker
    invocation: Invocation


def fit(config: Config, plan: Plan, prepared: Prepared, around: Surroundings) -> Outcome:
    """Train to the plan's last step, going on from the folder's checkpoint if there is one."""
    path = around.folder / checkpoint.FILE
    first = checkpoint_step(path)
    if first:
        log.info("going on from step %d", first)
    classes = config.model.classes or len(prepared.classes)
    train_batches = train_loader(
        prepared, config.data, seed=config.seed, steps=plan.steps, classes=classes
    )
    val_batches = ValLoader(prepared, config.data)
    progress = make_progress(plan.steps, around.folder.name, alone=not around.invocation.multirun)
    every = validate_every(config, plan)
    # The row of the last step waits for the validation after the fit, which comes again.
    whole_rows = first - 1 if first == plan.steps and first % every else first
    with metrics.open_rows(around.folder, last_step=whole_rows) as rows:
        outlets = Outlets(rows, around.tracker, progress)
        watch = _watch(config, plan, outlets, around.device)
        signals = Signals(around.invocation)
        saver = Checkpoints(
            path, config.checkpoint_seconds, signals, train_batches, every, watch.speed
        )
        module = Classifier(config, plan.steps)
        reset_peak_memory(around.device)
        try:
            with signals.noted(), _quiet():
                trainer = _trainer(config, plan, around, [watch, saver])
                trainer.fit(module, train_batches, val_batches, ckpt_path=path if first else None)
                if watch.held_out_step != plan.steps:
                    trainer.validate(module, val_batches, verbose=False)
            status, error = "complete", None
        except (Diverged, Interrupted) as stop:
            status = "diverged" if isinstance(stop, Diverged) else "interrupted"
            error = str(stop)
            log.warning(error)
        finally:
            progress.close()
    results = _results(watch, trainer.global_step, around.device)
    return Outcome(status, error, results, saver.started, saver.earlier_seconds)


def _watch(config: Config, plan: Plan, outlets: Outlets, device: torch.device) -> Watch:
    return Watch(
        plan,
        config.data.batch_size,
        config.log_every,
        validate_every(config, plan),
        outlets,
        peak_flops(device, config.precision.name),
    )


def checkpoint_step(path: Path) -> int:
    """Return the step of a checkpoint, 0 where there is none.

    Raises UserError for a file that is no checkpoint.
    """
    if not path.exists():
        return 0
    try:
        return int(torch.load(path, map_location="meta", weights_only=True)["global_step"])
    except Exception as error:
        raise UserError(
            f"{path} is not a checkpoint that can be read ({type(error).__name__}); "
            f"remove it to start this run anew"
        ) from error


def _trainer(
    config: Config, plan: Plan, around: Surroundings, callbacks: list[lightning.Callback]
) -> lightning.Trainer:
    return lightning.Trainer(
        accelerator={"cuda": "gpu"}.get(around.device.type, around.device.type),
        devices=1,
        precision=PRECISION[config.precision.name],
        max_steps=plan.steps,
        max_epochs=-1,
        val_check_interval=validate_every(config, plan),
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        callbacks=callbacks,
        plugins=[AtomicCheckpointIO()],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        default_root_dir=around.folder,
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the advice of Lightning and torch.compile about their own code off the screen."""
    loggers = [logging.getLogger(name) for name in _LEAST_LEVEL]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(_LEAST_LEVEL[logger.name])
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=r".*isinstance\(treespec, LeafSpec\)")
            yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


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
