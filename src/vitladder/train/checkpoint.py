"""When a run saves a checkpoint: every so many seconds, when a signal ends it, and at its end."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any, TextIO

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.trainer.states import TrainerFn

from vitladder.data.loader import TrainLoader
from vitladder.runs.metrics import to_disk
from vitladder.runs.record import now
from vitladder.train.checkpoint_files import new_file
from vitladder.train.signals import Signals
from vitladder.train.speed import Speed
from vitladder.train.world import World

LOOK_SECONDS = 0.25
# What a validation may take to end after a signal: schedulers kill within half a minute.
PATIENCE_SECONDS = 5.0
# In batches of a validation of several processes, which agree on whether to leave it.
_AGREE_EVERY = 8

# Signals are numbered from 1.
_NOTHING, _TIME = -1, 0


class Interrupted(Exception):  # noqa: N818  # a person or a scheduler asked for it
    """A signal asked the run to end; the message begins with its name."""


class Checkpoints(Callback):
    """Saves the run every `seconds`, at once when a signal was noted, and after the last step.

    A checkpoint is saved when all of its step is done: where the held-out split is measured after
    a step, that comes first, so that no measure is lost or made twice. Processes that share a run
    agree on it: not at every step, but as often as LOOK_SECONDS says.
    """

    def __init__(
        self,
        folder: Path,
        rows: TextIO,
        seconds: float,
        signals: Signals,
        batches: TrainLoader,
        validate_every: int,
        speed: Speed,
        world: World,
    ) -> None:
        """Save below `folder`, after the rows so far; the clock of training stands meanwhile."""
        self.world = world
        self.folder = folder
        self.rows = rows
        self.speed = speed
        self.seconds = seconds
        self.signals = signals
        self.batches = batches
        self.validate_every = validate_every
        self.started = now()
        self.earlier_seconds = 0.0
        self._began = self._saved = self._looked = time.monotonic()
        self._looked_step = self._look_at = 0

    def state_dict(self) -> dict[str, Any]:
        """Return when the run was first started, and the seconds it has taken."""
        seconds = self.earlier_seconds + time.monotonic() - self._began
        return {"started": self.started, "seconds": seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.started = state_dict["started"]
        self.earlier_seconds = state_dict["seconds"]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin with the batch of the step that comes next, and listen for signals."""
        self.batches.position = self._looked_step = trainer.global_step
        self._looked = time.monotonic()
        self.signals.listen()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save after a step that no validation follows."""
        if trainer.global_step % self.validate_every:
            self._save(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save after a step that validation followed."""
        if trainer.state.fn == TrainerFn.FITTING:
            self._save(trainer)

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Leave a validation that takes longer than a signal can wait; it is made again later."""
        if self.world.layout.devices > 1 and batch_idx % _AGREE_EVERY:
            return
        waits_long = self.signals.waits > PATIENCE_SECONDS
        [number] = self.world.largest([(waits_long and self.signals.received()) or _NOTHING])
        if number != _NOTHING:
            raise Interrupted(
                f"{signal.Signals(number).name} in the validation after step "
                f"{trainer.global_step}; it goes on from the last checkpoint"
            )

    def _save(self, trainer: Trainer) -> None:
        last = trainer.global_step == self.batches.steps
        if not last and trainer.global_step < self._look_at:
            return
        received = self._agreed(trainer.global_step)
        if received is None and not last:
            return
        self.speed.pause()
        if self.world.leads:
            # A run that goes on from here has the rows up to here, even after a power failure.
            to_disk(self.rows)
        self.gather_skipped()
        trainer.save_checkpoint(new_file(self.folder))
        self.speed.go_on()
        self._saved = time.monotonic()
        if received is not None and received != _TIME:
            name, step = signal.Signals(received).name, trainer.global_step
            raise Interrupted(f"{name} at step {step}; a checkpoint is saved")

    def gather_skipped(self) -> None:
        """Let every process know which images any of them could not read."""
        for others in self.world.gathered(self.batches.skipped.state_dict()):
            self.batches.skipped.load_state_dict(others)

    def _agreed(self, step: int) -> int | None:
        """Return why all processes save now: the number of a signal, _TIME, or None for not now."""
        now = time.monotonic()
        received = self.signals.received()
        due = now - self._saved >= self.seconds
        reason = _TIME if received is None and due else received or _NOTHING
        if self.world.layout.devices > 1:
            done, seconds = step - self._looked_step, now - self._looked
            ahead = int(LOOK_SECONDS * done / seconds) if seconds > 0 else 1
            reason, ahead = self.world.largest([reason, ahead])
            self._looked, self._looked_step = now, step
            self._look_at = step + max(1, ahead)
        return None if reason == _NOTHING else reason
