"""What is measured while a run trains: rows of metrics.csv, speed, divergence."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TextIO

import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from vitladder.compute.plan import Plan
from vitladder.runs.metrics import write_row
from vitladder.runs.tracking import Tracker
from vitladder.train.module import Classifier, HeldOut
from vitladder.train.progress import Progress
from vitladder.train.speed import Speed

log = logging.getLogger(__name__)


class Diverged(Exception):  # noqa: N818  # a result of a run, not a fault of the program
    """The training loss is not finite."""


@dataclass(frozen=True)
class Outlets:
    """Where measurements go: the open metrics.csv, the tracker, the person who looks on."""

    rows: TextIO
    tracker: Tracker
    progress: Progress


class Watch(Callback):
    """Writes a row every `every` steps and at the end; its state travels in the checkpoint."""

    def __init__(
        self, plan: Plan, batch_size: int, every: int, outlets: Outlets, peak: float | None
    ) -> None:
        """Take the plan, where to write, and the peak in FLOP/s that MFU is measured against."""
        self.plan = plan
        self.batch_size = batch_size
        self.every = every
        self.outlets = outlets
        self.peak = peak
        self.speed = Speed(batch_size)
        self.train_loss: float | None = None
        self.best_val_loss: float | None = None
        self._losses: list[torch.Tensor] = []

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run must know of the time before, as plain numbers."""
        return {
            "train_loss": self.train_loss,
            "best_val_loss": self.best_val_loss,
            "losses": [float(loss) for loss in self._losses],
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.train_loss = state_dict["train_loss"]
        self.best_val_loss = state_dict["best_val_loss"]
        self._losses = [torch.tensor(loss) for loss in state_dict["losses"]]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self.speed.start(trainer.global_step)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Keep the loss on its device; every `every` steps write a row.

        Raises Diverged for a loss that is not finite.
        """
        self._losses.append(outputs["loss"].detach())
        step = trainer.global_step
        if step % self.every == 0 or step == self.plan.steps:
            assert isinstance(pl_module, Classifier)  # noqa: S101  # for the type checker
            self._training_row(trainer, pl_module, step)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop the clock: speed is of training."""
        self.speed.pause()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the held-out measures, and let the clock go on."""
        assert isinstance(pl_module, Classifier)  # noqa: S101  # for the type checker
        if pl_module.held_out is not None:
            self._held_out_row(trainer.global_step, pl_module.held_out)
        self.speed.go_on()

    def mfu(self, images_per_s: float | None) -> float | None:
        """Return model FLOPs utilisation: 3 x forward FLOPs a second against the dense peak."""
        if self.peak is None or images_per_s is None:
            return None
        return images_per_s * self.plan.flops_per_image / self.peak

    def _training_row(self, trainer: Trainer, module: Classifier, step: int) -> None:
        loss = float(torch.stack(self._losses).mean())
        self._losses.clear()
        self.train_loss = loss
        if not math.isfinite(loss):
            raise Diverged(f"the training loss is {loss} at step {step}")
        speed = self.speed.window(step)
        measured = {
            "train_loss": loss,
            "lr": trainer.optimizers[0].param_groups[0]["lr"],
            "grad_norm": float(module.grad_norm),
            "images_per_s": round(speed, 2),
            "mfu": self.mfu(speed),
        }
        self._write(step, measured)
        self.outlets.progress.advance(step, loss, speed)

    def _held_out_row(self, step: int, held_out: HeldOut) -> None:
        if math.isfinite(held_out.loss):
            known = math.inf if self.best_val_loss is None else self.best_val_loss
            self.best_val_loss = min(held_out.loss, known)
        measured = {
            "val_loss": held_out.loss,
            "val_error": held_out.error,
            "val_top5_error": held_out.top5_error,
        }
        self._write(step, measured)
        log.info("step %d: val_loss %.4f, val_error %.4f", step, held_out.loss, held_out.error)

    def _write(self, step: int, measured: Mapping[str, float | int | None]) -> None:
        images = step * self.batch_size
        row = {"step": step, "images": images, "flops": float(images * self.plan.flops_per_image)}
        write_row(self.outlets.rows, {**row, **measured})
        self.outlets.tracker.log({**row, **measured})
