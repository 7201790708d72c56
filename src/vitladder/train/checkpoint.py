"""Checkpoints: atomic files, one every so many seconds and one when a signal ends the run."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from lightning_fabric.plugins.io.torch_io import TorchCheckpointIO
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.trainer.states import TrainerFn

from vitladder.data.loader import TrainLoader
from vitladder.errors import UserError
from vitladder.runs.atomic import replacing
from vitladder.runs.invocation import Invocation, abandoned
from vitladder.runs.record import now
from vitladder.train.speed import Speed
from vitladder.train.world import World

FILE = Path("checkpoints") / "last.ckpt"
LOOK_SECONDS = 0.25

# Signals are numbered from 1.
_NOTHING, _TIME = -1, 0


class Interrupted(Exception):  # noqa: N818  # a person or a scheduler asked for it
    """SIGINT or SIGTERM came; a checkpoint has been written."""


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint in its own folder, flushes it, and only then gives it its name."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None
    ) -> None:
        """Save atomically."""
        del storage_options
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with replacing(Path(path)) as temporary:
            torch.save(checkpoint, temporary)


class Signals:
    """Notes signals that ask for an end instead of dying of them, and the command's own death.

    A SIGHUP that is ignored, as nohup has it, stays ignored.
    """

    def __init__(self, invocation: Invocation) -> None:
        """Nothing has come yet."""
        self._received: signal.Signals | None = None
        self._invocation = invocation
        self._before = {
            number: signal.getsignal(number)
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN
        }

    def received(self) -> signal.Signals | None:
        """Return the signal that asks this run to end, or None; SIGHUP if its command is dead."""
        return signal.SIGHUP if abandoned(self._invocation) else self._received

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Note signals within this block; a second one acts as it did before."""
        self.listen()
        try:
            yield
        finally:
            self._restore()

    def listen(self) -> None:
        """Take the signals, also from Lightning, which takes SIGTERM for itself when it starts."""
        for number in self._before:
            signal.signal(number, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        del frame
        self._received = signal.Signals(number)
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)


class Checkpoints(Callback):
    """Saves the run every `seconds`, at once when a signal was noted, and after the last step.

    A checkpoint is saved when all of its step is done: where the held-out split is measured after
    a step, that comes first, so that no measure is lost or made twice. Processes that share a run
    agree on it: not at every step, but as often as LOOK_SECONDS says.
    """

    def __init__(
        self,
        path: Path,
        seconds: float,
        signals: Signals,
        batches: TrainLoader,
        validate_every: int,
        speed: Speed,
        world: World,
    ) -> None:
        """Save to `path`; the clock of training stands still meanwhile."""
        self.world = world
        self.path = path
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

    def _save(self, trainer: Trainer) -> None:
        last = trainer.global_step == self.batches.steps
        if not last and trainer.global_step < self._look_at:
            return
        received = self._agreed(trainer.global_step)
        if received is None and not last:
            return
        self.speed.pause()
        trainer.save_checkpoint(self.path)
        self.speed.go_on()
        self._saved = time.monotonic()
        if received not in (None, _TIME):
            raise Interrupted(
                f"{signal.Signals(received).name} at step {trainer.global_step}; a checkpoint is "
                f"saved"
            )

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


def agreed_step(path: Path, world: World) -> int:
    """Return the step of a checkpoint, which all processes must see; 0 where there is none.

    Raises UserError for a file that is no checkpoint, or that some processes do not have.
    """
    step = checkpoint_step(path)
    if not world.same(step):
        raise UserError(
            f"not all processes of this run find {path}; `outputs` must be a folder that all nodes "
            f"share"
        )
    return step


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
