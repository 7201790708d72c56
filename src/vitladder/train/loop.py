"""One run from its resolved config to its record; whatever ends it is recorded."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf

from vitladder.compute.plan import Plan, plan
from vitladder.config import Config, DataShape, run_key
from vitladder.data.cache import prepare
from vitladder.runs import record
from vitladder.runs.atomic import write_text
from vitladder.runs.record import Record, Results
from vitladder.runs.tracking import make_tracker
from vitladder.train.fit import fit
from vitladder.train.model import check_plugins
from vitladder.train.parallel import DTYPE, device_name, pick_device

log = logging.getLogger("vitladder")


@dataclass(frozen=True)
class Job:
    """One run to be trained: its resolved config, its folder, the command that asked for it."""

    config: Config
    data: DataShape
    folder: Path
    cache: Path
    command: str
    alone: bool


def train(job: Job) -> Record:
    """Train the run, going on from its checkpoint if there is one, and write its record.

    The record says `complete`, `diverged` (a loss that is not finite), `interrupted` (a signal)
    or `failed`; an exception that makes it fail is raised again once it is recorded. Raises
    UserError before anything starts where a plugin or the device cannot serve the run.
    """
    config = job.config
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    device = pick_device(config.parallel.device)
    check_plugins(config, device.type, DTYPE[config.precision.name])
    known = _unfinished(job, plan(config, job.data), device)
    job.folder.mkdir(parents=True, exist_ok=True)
    write_text(job.folder / "config.yaml", OmegaConf.to_yaml(OmegaConf.create(asdict(config))))
    began = time.monotonic()
    with _log_file(job.folder / "train.log"):
        done = known
        try:
            done = _train(job, known, device)
        except BaseException as error:
            done = replace(known, status="failed", error=_one_line(error))
            log.exception("failed")
            raise
        finally:
            seconds = round(time.monotonic() - began, 3)
            times = {**known.times, "end": record.now(), "seconds": seconds}
            done = replace(done, times=times)
            record.write_record(job.folder, done)
    return done


def _train(job: Job, known: Record, device: torch.device) -> Record:
    config, run_plan = job.config, Plan(**known.plan)
    model = config.model
    if model.image_size is None or model.channels is None:
        raise ValueError("a run is trained from a resolved config")
    prepared = prepare(
        config.data, image_size=model.image_size, channels=model.channels, folder=job.cache
    )
    known = replace(known, environment={**known.environment, "data": prepared.fingerprint})
    log.info("%s: %s", known.run_key, known.plan)
    with make_tracker(config, known.plan, known.run_key, job.folder) as tracker:
        outcome = fit(config, run_plan, prepared, job.folder, device, tracker, alone=job.alone)
        tracker.summarise({**known.plan, **asdict(outcome.results), "status": outcome.status})
    log.info("%s: val_loss %s", outcome.status, outcome.results.val_loss)
    return replace(known, status=outcome.status, error=outcome.error, results=outcome.results)


def _unfinished(job: Job, run_plan: Plan, device: torch.device) -> Record:
    environment: dict[str, Any] = {
        "versions": record.versions(),
        "git_commit": record.git_commit(),
        "machine": record.machine(),
        "device": device_name(device),
        "threads": torch.get_num_threads(),
        "precision": job.config.precision.name,
    }
    return Record(
        run_key=run_key(job.config),
        study=job.config.study,
        status="interrupted",
        config=asdict(job.config),
        plan=asdict(run_plan),
        results=Results(),
        environment=environment,
        times={"start": record.now(), "end": None, "seconds": None},
        command=job.command,
    )


@contextmanager
def _log_file(file: Path) -> Iterator[None]:
    handler = logging.FileHandler(file, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    level = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(level)
        handler.close()


def _one_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
