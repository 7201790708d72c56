"""The function that Hydra's launchers call, once for every run of a command."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from vitladder.compose import from_hydra
from vitladder.compute.plan import resolve
from vitladder.config import Config, DataShape
from vitladder.data.describe import describe
from vitladder.data.fingerprint import data_fingerprint
from vitladder.errors import RunFailed, UserError
from vitladder.layout import layout_of
from vitladder.run_key import run_key
from vitladder.runs.claim import claimed, left_over, wait_for_one
from vitladder.runs.invocation import (
    abandoned,
    current,
    request_interruption,
    request_stop,
    stop_requested,
)
from vitladder.runs.record import Record
from vitladder.runs.said import said_by_the_command
from vitladder.runs.sweep import Place
from vitladder.side_by_side import is_worker, leave_signals_to_the_command
from vitladder.together import check_together, processes_together
from vitladder.train.imports import import_training
from vitladder.train.job import Job

if TYPE_CHECKING:
    from vitladder.train.world import World


def place_of(config: Config) -> Place:
    """Return where the run of a resolved config lies; other data is another run."""
    key = run_key(config, data_fingerprint(config.data))
    return Place(Path(config.outputs), config.study, key)


def resolved(config: Config) -> tuple[Config, DataShape]:
    """Return the config with nothing left open, and the shape of its data."""
    shape = describe(config.data)
    return resolve(config, shape), shape


def task(composed: DictConfig) -> float | None:
    """Train one run unless it is finished; return its held-out loss, for sweepers that search.

    A failure is in the run's record and log; it stops other runs only with on_error=stop. Raises
    KeyboardInterrupt after a signal, when the interrupted run is recorded.
    """
    if abandoned(current()):
        raise KeyboardInterrupt("the command that this run belongs to has ended")
    config, shape = resolved(from_hydra(composed))
    place = place_of(config)
    if processes_together() > 1:
        return _together(config, shape, place)
    if is_worker():
        return _in_worker(config, shape, place)
    return _loss(_one_process(config, shape, place))


def _in_worker(config: Config, shape: DataShape, place: Place) -> float | None:
    """Train in a process beside others; an interruption ends the study, but not this process."""
    leave_signals_to_the_command(place.study_folder)
    try:
        with said_by_the_command(place.study_folder):
            return _loss(_one_process(config, shape, place))
    except KeyboardInterrupt:
        request_interruption(place.study_folder)
        return None


def _loss(record: Record | None) -> float | None:
    return record.results.val_loss if record is not None else None


def _one_process(config: Config, shape: DataShape, place: Place) -> Record | None:
    try:
        return _trained_once(config, shape, place)
    except RunFailed as failure:
        # Not even its lock can be written: no record will say it.
        print(f"{place.run_key} failed: {failure}", flush=True)
        return None


def _trained_once(config: Config, shape: DataShape, place: Place) -> Record | None:
    while True:
        with claimed(place, current().name) as mine:
            record = place.finished()
            if mine and record is None and not stop_requested(place.study_folder):
                return _train(config, shape, place)
        if record or mine or current().comes_back or not left_over([place], current().name):
            return record
        wait_for_one([place])


def _together(config: Config, shape: DataShape, place: Place) -> float | None:
    """Train with the processes that were started beside this one, if the first of them says so.

    A process that ends by an exception waits for no other: its connections end with it.
    """
    from vitladder.train.device import pick_device
    from vitladder.train.world import joined

    check_together(config.parallel, multirun=False)
    job = Job(config, shape, place, current())
    with joined(config.parallel, pick_device(config.parallel.device)) as world:
        if not world.same(int(place.run_key, 16)):
            raise UserError("the processes of this run see different data, plugins or settings")
        if world.leads:
            return _lead(job, world)
        _follow(job, world)
        return None


def _lead(job: Job, world: World) -> float | None:
    from vitladder.train.world import check_shared

    place, name = job.place, job.invocation.name
    while True:
        with claimed(place, name) as mine:
            record = place.finished()
            needed = mine and record is None and not stop_requested(place.study_folder)
            if mine or record or not left_over([place], name):
                world.as_leader_says(int(needed))
                check_shared(place, world)
                if needed:
                    record = _train(job.config, job.data, place)
                    if record is None:
                        raise SystemExit(1)
                return _loss(record)
        wait_for_one([place])


def _follow(job: Job, world: World) -> None:
    from vitladder.train.loop import train
    from vitladder.train.world import check_shared

    needed = world.as_leader_says(0)
    check_shared(job.place, world)
    if needed and train(job).status == "interrupted":
        raise KeyboardInterrupt


def _train(config: Config, shape: DataShape, place: Place) -> Record | None:
    job = Job(config, shape, place, current())
    try:
        record = _start(job)
    except Exception as error:
        # The record and train.log hold it; the other runs go on unless on_error=stop.
        known = isinstance(error, UserError | RunFailed)
        reason = error if known else f"{type(error).__name__}: {error}"
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


def _start(job: Job) -> Record:
    """Train here, or in processes of this machine where it takes several and none are there."""
    if layout_of(job.config.parallel).devices > processes_together():
        from vitladder.train.ranks import train_together

        return train_together(job)
    import_training()
    from vitladder.train.loop import train

    return train(job)
