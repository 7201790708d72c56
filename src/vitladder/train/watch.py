"""What is measured while a run trains: rows of metrics.csv, speed, divergence."""

from __future__ import annotations

import logging
import math
from collections import deque
from dataclasses import asdict, dataclass
from typing import Any, TextIO

import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from vitladder.compute.plan import Plan
from vitladder.runs.metrics import write_row
from vitladder.runs.tracking import Tracker
from vitladder.train.divergence import Diverged, LossHistory
from vitladder.train.module import Classifier, HeldOut
from vitladder.train.precision import LossScaling
from vitladder.train.progress import Progress
from vitladder.train.speed import Speed
from vitladder.train.world import World

log = logging.getLogger(__name__)


RECENT = 100
# Loss scaling makes small gradients larger: below this it would make large ones vanish.
LEAST_SCALE = 2.0**-14


@dataclass(frozen=True)
class Outlets:
    """Where measurements go: the open metrics.csv, the tracker, the person who looks on."""

    rows: TextIO
    tracker: Tracker
    progress: Progress


class Watch(Callback):
    """Keeps the losses, measures, and writes one row for a step; its state is in the checkpoint.

    A row is written every `every` steps, where the held-out split is measured, and at the end. On
    several devices a loss is the mean over them, taken when it is needed and for many at once.
    """

    def __init__(
        self,
        plan: Plan,
        batch_size: int,
        every: int,
        validate_every: int,
        outlets: Outlets,
        peak: float | None,
        world: World,
    ) -> None:
        """Take the plan, where to write, and the peak in FLOP/s of all devices, for MFU."""
        self.plan = plan
        self.batch_size = batch_size
        self.every = every
        self.validate_every = validate_every
        self.outlets = outlets
        self.peak = peak
        self.world = world
        self.speed = Speed(batch_size)
        self.history = LossHistory()
        self.best_val_loss: float | None = None
        self.held_out: HeldOut | None = None
        self.held_out_step = 0
        self._own: list[torch.Tensor] = []
        self._since_row: list[torch.Tensor] = []
        self._recent: deque[torch.Tensor] = deque(maxlen=RECENT)
        self._row: dict[str, float | None] = {}

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run must know of the time before, as plain numbers."""
        self._collect()
        return {
            "history": asdict(self.history),
            "best_val_loss": self.best_val_loss,
            "held_out": None if self.held_out is None else asdict(self.held_out),
            "held_out_step": self.held_out_step,
            "since_row": [float(loss) for loss in self._since_row],
            "recent": [float(loss) for loss in self._recent],
            "row": dict(self._row),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        held_out = state_dict["held_out"]
        self.history = LossHistory(**state_dict["history"])
        self.best_val_loss = state_dict["best_val_loss"]
        self.held_out = None if held_out is None else HeldOut(**held_out)
        self.held_out_step = state_dict["held_out_step"]
        self._since_row = list(torch.tensor(state_dict["since_row"], dtype=torch.float64))
        self._recent.extend(torch.tensor(state_dict["recent"], dtype=torch.float64))
        self._row = dict(state_dict["row"])

    @property
    def train_loss(self) -> float | None:
        """The mean loss of the last RECENT steps, or of all if there are fewer."""
        return float(torch.stack(list(self._recent)).mean()) if self._recent else None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self.speed.start(trainer.global_step)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Keep the loss on its device, and measure where a row is due.

        Raises Diverged for a loss that is not finite, or above the start's for too long.
        """
        self._own.append(outputs["loss"].detach())
        step = trainer.global_step
        last = step == self.plan.steps
        if step % self.every == 0 or last:
            self._measure_training(step, trainer, pl_module)
        # Where validation follows, the row waits for its measures.
        if step % self.validate_every and not last:
            self._write_row(step)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop the clock: speed is of training."""
        self.speed.pause()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the row with the held-out measures, and let the clock go on."""
        self._measure_held_out(trainer.global_step, pl_module)
        self._write_row(trainer.global_step)
        self.speed.go_on()

    def mfu(self, images_per_s: float | None) -> float | None:
        """Return model FLOPs utilisation: 3 x forward FLOPs a second against the dense peak."""
        if self.peak is None or images_per_s is None:
            return None
        return images_per_s * self.plan.flops_per_image / self.peak

    def _collect(self) -> None:
        """Turn this device's losses into those of the batches, on all devices at once."""
        if not self._own:
            return
        # As numbers of Python's, which a checkpoint keeps to the last bit.
        losses = torch.stack(self._own).cpu().double()
        self._own.clear()
        if self.world.layout.devices > 1:
            losses = self.world.sum(losses) / self.world.layout.devices
        self._since_row.extend(losses)
        self._recent.extend(losses)

    def _measure_training(self, step: int, trainer: Trainer, module: LightningModule) -> None:
        assert isinstance(module, Classifier)  # noqa: S101  # for the type checker
        self._collect()
        loss, first = float(torch.stack(self._since_row).mean()), float(self._since_row[0])
        self._since_row.clear()
        self.history.see(step, first, loss, self.plan.steps)
        speed = self.speed.window(step)
        self._row |= {
            "train_loss": loss,
            "lr": module.learning_rate,
            "grad_norm": float(module.grad_norm),
            "images_per_s": round(speed, 2),
            "mfu": self.mfu(speed),
        }
        plugin = trainer.precision_plugin
        if isinstance(plugin, LossScaling):
            self._row |= {"loss_scale": plugin.scale, "skipped_steps": plugin.skipped}
            if plugin.scale < LEAST_SCALE:
                raise Diverged(f"the gradients overflow float16 at any loss scale, at step {step}")
        self.outlets.progress.advance(step, loss, speed)

    def _measure_held_out(self, step: int, module: LightningModule) -> None:
        assert isinstance(module, Classifier)  # noqa: S101  # for the type checker
        held_out = module.held_out
        if held_out is None:
            return
        if not math.isfinite(held_out.loss):
            self._write_row(step)
            raise Diverged(f"the held-out loss is {held_out.loss} at step {step}")
        self.held_out, self.held_out_step = held_out, step
        known = math.inf if self.best_val_loss is None else self.best_val_loss
        self.best_val_loss = min(held_out.loss, known)
        self._row |= {
            "val_loss": held_out.loss,
            "val_error": held_out.error,
            "val_top5_error": held_out.top5_error,
        }
        log.info("step %d: val_loss %.4f, val_error %.4f", step, held_out.loss, held_out.error)

    def _write_row(self, step: int) -> None:
        if not self._row:
            return
        images = step * self.batch_size
        seen = {"step": step, "images": images, "flops": float(images * self.plan.flops_per_image)}
        write_row(self.outlets.rows, {**seen, **self._row})
        self.outlets.tracker.log({**seen, **self._row})
        self._row = {}
