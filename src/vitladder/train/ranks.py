"""Starts the processes of a run on this machine, one to a device, and tells how they ended."""

from __future__ import annotations

import logging
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from torch.distributed.elastic.multiprocessing import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from vitladder.errors import RunFailed
from vitladder.runs.record import Record, read_record, write_record
from vitladder.runs.storage import writing_in
from vitladder.train.job import Job, new_record, write_job
from vitladder.train.out_of_memory import OUT_OF_MEMORY, halve, settled

# What a process may take to finish its step and to save, once it is told to end; torchrun's agent
# gives them 30 where another has died.
_GRACE_SECONDS = 45
_AGENT = "torch.distributed.elastic"
_SAYS = "TORCH_CPP_LOG_LEVEL"
log = logging.getLogger(__name__)

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


def train_together(job: Job) -> Record:
    """Train a run on several devices of this machine, and return its record.

    Where there is no room, the micro-batch is halved and the processes start again. Raises
    RunFailed where the run failed and KeyboardInterrupt after a signal, once it is recorded.
    """
    folder = job.place.folder
    with writing_in(folder):
        while True:
            try:
                return _train_once(job)
            except RunFailed as failure:
                reason = str(failure)
                if OUT_OF_MEMORY not in reason:
                    raise
                if not halve(settled(job.config, folder), folder, reason):
                    raise
            # That it failed is no more what this command has seen of it.
            write_record(folder, replace(new_record(job), environment={}))


def _train_once(job: Job) -> Record:
    """Start the processes, wait until all of them have ended, and return what they recorded.

    torchrun's agent starts the processes and ends all of them when one dies, however it dies.
    """
    with tempfile.TemporaryDirectory() as folder, _signals_kept(), _quiet():
        # The agent is this process: if it dies, the run's processes notice, save and end.
        own = replace(job, invocation=replace(job.invocation, process=os.getpid()))
        file = write_job(own, Path(folder) / "job.json")
        try:
            elastic_launch(_agent(job), sys.executable)("-m", "vitladder.train.rank", str(file))
        except SignalException as stop:
            _record_interruption(job, stop)
        except ChildFailedError as failure:
            _record_failure(job, _what_failed(failure))
    record = _own_record(job)
    if record is None:
        raise RunFailed("the processes of the run ended without a record")
    return record


def _agent(job: Job) -> LaunchConfig:
    """Return what torchrun's agent shall do: all on this machine, and no second try."""
    options: dict[str, Any] = {
        "run_id": job.place.run_key,
        "rdzv_backend": "c10d",
        "rdzv_endpoint": "localhost:0",
        # A laptop's own name is not always known to it.
        "local_addr": "127.0.0.1",
        "max_restarts": 0,
        # A SIGHUP that is ignored, as by nohup, shall stay so; one that is not ends this process.
        "signals_to_handle": "SIGTERM,SIGINT,SIGUSR1",
        "shutdown_timeout": _GRACE_SECONDS,
    }
    known = {field.name for field in fields(LaunchConfig)}
    devices = job.config.parallel.devices
    return LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=devices,
        **{name: value for name, value in options.items() if name in known},
    )


def _own_record(job: Job) -> Record | None:
    """Return what this command has recorded of the run, if anything."""
    record = read_record(job.place.folder)
    return record if record is not None and record.is_of(job.invocation.name) else None


def _record_interruption(job: Job, stop: SignalException) -> None:
    """Write that a signal ended the run, unless it has said so itself, and raise it."""
    reason = f"{signal.Signals(stop.sigval).name} before the run could say where it stood"
    if _own_record(job) is None:
        write_record(job.place.folder, replace(new_record(job), error=reason))
    raise KeyboardInterrupt(reason)


def _what_failed(failure: ChildFailedError) -> str:
    """Return which process ended the run and how: one that was killed, else the first to fail.

    Those that the agent ends, and those that lose their connection, only follow.
    """
    for rank, ended in sorted(failure.failures.items()):
        if ended.exitcode < 0 and ended.exitcode != -signal.SIGTERM:
            return f"process {rank} of the run was killed by {signal.Signals(-ended.exitcode).name}"
    rank, first = failure.get_first_failure()
    said = first.message["message"] if isinstance(first.message, dict) else first.message
    return f"process {rank} of the run failed: {' '.join(str(said).split())}"


def _record_failure(job: Job, reason: str) -> None:
    """Write why the run failed, and raise it; a run that has ended otherwise keeps its record."""
    known = _own_record(job) or replace(new_record(job), status="failed")
    if known.status != "failed":
        log.warning("the run is recorded as %s; afterwards %s", known.status, reason)
        return
    write_record(job.place.folder, replace(known, error=reason))
    raise RunFailed(reason)


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Put the signals' handlers back, which torchrun's agent leaves as its own."""
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the agent's own log off the screen: what happened is said in one line.

    Nor do processes warn, as they end, of sums that a backward asked for and did not need.
    """
    names = [name for name in logging.root.manager.loggerDict if name.startswith(_AGENT)]
    before = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    said = os.environ.get(_SAYS)
    os.environ[_SAYS] = "ERROR"
    try:
        yield
    finally:
        os.environ.pop(_SAYS)
        if said is not None:
            os.environ[_SAYS] = said
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)
