"""The function that Hydra's launchers call, once for every run of a command."""

from __future__ import annotations

import os
from pathlib import Path

from omegaconf import DictConfig

from vitladder.compose import from_hydra
from vitladder.compute.plan import resolve
from vitladder.config import Config, DataShape, run_key
from vitladder.data.describe import describe
from vitladder.errors import UserError
from vitladder.runs.record import Record
from vitladder.runs.sweep import COMMAND, Place, one_writer, request_stop, stop_requested


def place_of(config: Config) -> Place:
    """Return where the run of a resolved config lies."""
    return Place(Path(config.outputs), config.study, run_key(config))


def resolved(config: Config) -> tuple[Config, DataShape]:
    """Return the config with nothing left open, and the shape of its data."""
    shape = describe(config.data)
    return resolve(config, shape), shape


def task(composed: DictConfig) -> float | None:
    """Train one run unless it is finished; return its held-out loss, for sweepers that search.

    A failure is in the run's record and log; it stops other runs only with on_error=stop. Raises
    KeyboardInterrupt after a signal, when the interrupted run is recorded.
    """
    config, shape = resolved(from_hydra(composed))
    place = place_of(config)
    with one_writer(place.folder):
        record = place.finished()
        if record is None and not stop_requested(place.study_folder):
            record = _train(config, shape, place)
    return record.results.val_loss if record is not None else None


def _train(config: Config, shape: DataShape, place: Place) -> Record | None:
    from vitladder.train.loop import Job, train

    alone = COMMAND not in os.environ or " -m" not in os.environ[COMMAND]
    command = os.environ.get(COMMAND, "vitladder train")
    try:
        record = train(Job(config, shape, place.folder, place.cache, command, alone))
    except Exception as error:
        # The record and train.log hold it; the other runs go on unless on_error=stop.
        reason = error if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        print(f"{place.run_key} failed: {reason}", flush=True)
        if config.on_error == "stop":
            request_stop(place.study_folder)
        return None
    if record.status == "interrupted":
        # The signal was for the whole command: no further run starts in this process.
        raise KeyboardInterrupt(record.error)
    loss = record.results.val_loss
    print(
        f"{place.run_key} {record.status}: width {config.model.width}, depth {config.model.depth}, "
        f"C {record.plan['flops']:.3g}, val_loss {'none' if loss is None else f'{loss:.4f}'}, "
        f"{record.times['seconds']:.1f} s",
        flush=True,
    )
    return record
