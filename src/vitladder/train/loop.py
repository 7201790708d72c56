"""One run from its resolved config to its record; whatever ends it is recorded."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import Any

import torch
from omegaconf import OmegaConf

from vitladder.compute.forecast import forecast
from vitladder.compute.machine import machine_of
from vitladder.compute.plan import Plan
from vitladder.compute.profile import this_machine
from vitladder.config import Config
from vitladder.data.cache import Prepared, prepare
from vitladder.errors import RunFailed, UserError
from vitladder.runs import record
from vitladder.runs.atomic import write_text
from vitladder.runs.record import Record
from vitladder.runs.storage import writing_in
from vitladder.runs.tracking import NoTracker, Tracker, make_tracker
from vitladder.runs.wandb_about import summary_of
from vitladder.train.candidates import applied
from vitladder.train.compiler import check_compiler
from vitladder.train.device import DTYPE, device_name, pick_device, threads_of
from vitladder.train.fit import Outcome, Surroundings, fit
from vitladder.train.heap import check_allocator, keep_freed_memory
from vitladder.train.job import Job, new_record
from vitladder.train.log_file import log_file
from vitladder.train.out_of_memory import fit_in_memory
from vitladder.train.parallel import check_parallel_here
from vitladder.train.precision import check_precision
from vitladder.train.serving import attention_backend, check_plugins
from vitladder.train.tune import Tuned, tune
from vitladder.train.world import World, joined

log = logging.getLogger("vitladder")


def train(job: Job) -> Record:
    """Train the run, going on from its checkpoint if there is one, and write its record.

    The record says `complete`, `diverged` (by its loss), `interrupted` (a signal)
    or `failed`; an exception that makes it fail is raised again once it is recorded. Of processes
    that share a run, each calls this; the first writes.
    """
    with joined(job.config.parallel, pick_device(job.config.parallel.device)) as world:
        if world.leads:
            return _lead(job, world)
        with log_file(job.place.folder / f"rank{world.rank}.log"), _own_threads():
            try:
                return _trained(job, new_record(job), time.monotonic(), NoTracker(), world)
            except BaseException as error:
                log.exception(type(error).__name__)
                raise


def _lead(job: Job, world: World) -> Record:
    folder = job.place.folder
    began = time.monotonic()
    # Whatever else went wrong, a record that cannot be written is what must be said.
    with writing_in(folder), log_file(folder / "train.log"), _own_threads():
        known = new_record(job)
        try:
            if job.config.tune:
                tuned = _tuned(job, known)
                job = replace(job, config=applied(job.config, tuned.choice))
                known = _with(known, tuned=asdict(tuned))
            began = time.monotonic()
            write_text(folder / "config.yaml", OmegaConf.to_yaml(OmegaConf.create(known.config)))
            tracker = make_tracker(job.config, known.plan, folder, known.command)
            tracker.start()
            try:
                with writing_in(folder):
                    done = _trained(job, known, began, tracker, world)
            except BaseException:
                tracker.finish(failed=True)
                raise
        except BaseException as error:
            stopped = isinstance(error, KeyboardInterrupt | SystemExit)
            status = "interrupted" if stopped else "failed"
            log.exception(status)
            times = _times(known.times["start"], time.monotonic() - began)
            ended = replace(known, status=status, error=_one_line(error), times=times)
            record.write_record(folder, ended)
            raise
        record.write_record(folder, done)
        log.info("%s: val_loss %s", done.status, done.results.val_loss)
        _tell(tracker, done)
        return done


def _tuned(job: Job, known: Record) -> Tuned:
    """Find the fastest way to train this run, before its clock starts, and say what it is."""
    device = pick_device(job.config.parallel.device)
    tuned = tune(job.config, known.plan["images"], job.place.folder, device)
    print(f"{known.run_key} tuned: {tuned.why}", flush=True)
    log.info("tuned: %s", tuned.why)
    return tuned


def _trained(job: Job, known: Record, began: float, tracker: Tracker, world: World) -> Record:
    """Train on this process's device, and return the record of the run."""
    config, device = job.config, _ready(job.config, world)
    model, run_plan = config.model, Plan(**known.plan)
    size, channels = model.image_size or 0, model.channels or 0
    prepared = prepare(config.data, image_size=size, channels=channels, folder=job.place.cache)
    known = _with(known, **_environment(job, device, prepared))
    needed = forecast(config, job.data, run_plan, machine_of(config))
    log.info("%s: %s", known.run_key, known.plan)
    for note in prepared.notes:
        log.info("data: %s", note)
    around = Surroundings(job.place.folder, device, tracker, job.invocation, world)
    attempts: list[float] = []

    def attempt(settled: Config) -> Outcome:
        # The checkpoint that a further attempt goes on from has counted the seconds before it.
        attempts.append(time.monotonic() if attempts else began)
        return fit(settled, run_plan, prepared, around)

    outcome = fit_in_memory(config, around.folder, needed, world, attempt)
    return replace(
        _with(known, **outcome.measured),
        forecast=asdict(needed),
        status=outcome.status,
        error=outcome.error,
        results=outcome.results,
        times=_times(outcome.started, outcome.earlier_seconds + time.monotonic() - attempts[-1]),
    )


def _ready(config: Config, world: World) -> torch.device:
    """Set this process up, check that the run can train on its device, and return the device."""
    threads = threads_of(config)
    if threads is not None:
        torch.set_num_threads(threads)
    device = pick_device(config.parallel.device)
    if device.type == "cuda" and world.layout.devices > 1:
        device = torch.device("cuda", world.local_rank)
    check_precision(config.precision.name, device)
    check_parallel_here(config, device)
    check_plugins(config, device.type, DTYPE[config.precision.name])
    if config.compile:
        check_compiler(device.type)
    if config.keep_memory:
        check_allocator(device.type)
        keep_freed_memory()
    return device


def _with(known: Record, **facts: Any) -> Record:
    """Return the record with these facts in its environment."""
    return replace(known, environment=known.environment | facts)


def _tell(tracker: Tracker, done: Record) -> None:
    """Send the end of a recorded run; a tracker that fails cannot take the result away."""
    try:
        tracker.summarise(summary_of(done))
        tracker.finish(failed=done.status != "complete")
    except Exception:
        log.exception("the run is complete and recorded; only the tracker failed")


def _environment(job: Job, device: torch.device, prepared: Prepared) -> dict[str, Any]:
    dtype = getattr(torch, DTYPE[job.config.precision.name])
    return {
        "attention_backend": attention_backend(job.config, device, dtype),
        "versions": record.versions(),
        "git_commit": record.git_commit(),
        "machine": this_machine(),
        "device": device_name(device),
        "threads": torch.get_num_threads(),
        "precision": job.config.precision.name,
        "data": prepared.fingerprint,
        "data_notes": list(prepared.notes),
        "invocation": job.invocation.name,
    }


def _times(start: str, seconds: float) -> dict[str, Any]:
    return {"start": start, "end": record.now(), "seconds": round(seconds, 3)}


@contextmanager
def _own_threads() -> Iterator[None]:
    """Leave the number of threads to the next run of this process as it was."""
    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _one_line(error: BaseException) -> str:
    said = " ".join(str(error).split())
    return said if isinstance(error, UserError | RunFailed) else f"{type(error).__name__}: {said}"
