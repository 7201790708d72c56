"""What one command tells the processes that a launcher starts for it, through their environment."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

_VARIABLE = "VITLADDER_INVOCATION"
_STOP, _INTERRUPT, _SAID = ".stop-", ".interrupt-", ".said-"


@dataclass(frozen=True)
class Invocation:
    """One call of `vitladder train`: its words, a name of its own, its process, one run or many.

    It `comes_back` later to a run that another command is training, or waits for it there and then.
    Where its study is `shown` on its terminal, its workers leave it what they print.
    """

    command: str
    name: str
    process: int
    multirun: bool
    comes_back: bool = False
    shown: bool = False


@contextmanager
def invoked(command: str, *, multirun: bool, comes_back: bool, shown: bool) -> Iterator[Invocation]:
    """Make this command known to the processes that it starts."""
    name = uuid.uuid4().hex[:12]
    invocation = Invocation(command, name, os.getpid(), multirun, comes_back, shown)
    os.environ[_VARIABLE] = json.dumps(asdict(invocation))
    try:
        yield invocation
    finally:
        del os.environ[_VARIABLE]


def current() -> Invocation:
    """Return the command that this process belongs to; a task called by other means is its own."""
    known = os.environ.get(_VARIABLE)
    if known is None:
        return Invocation("vitladder train", "none", os.getpid(), multirun=False)
    return Invocation(**json.loads(known))


@lru_cache(maxsize=1)
def _was_started_by(process: int) -> bool:
    """Whether that process is this one's parent, asked for the first time while it still is."""
    return os.getppid() == process


def abandoned(invocation: Invocation) -> bool:
    """Whether the command that started this process to train runs side by side has died.

    A run that a cluster's launcher started elsewhere is nobody's child, and never abandoned.
    """
    return _was_started_by(invocation.process) and os.getppid() != invocation.process


def request_stop(study: Path) -> None:
    """With on_error=stop: let no further run of this command start."""
    _stop_file(study, current()).touch()


def stop_requested(study: Path) -> bool:
    """Whether no further run of this command shall start: one has failed, or a signal came."""
    return _stop_file(study, current()).exists() or interruption_requested(study, current())


def request_interruption(study: Path) -> None:
    """Let the runs of this command that are being trained save and end, and no other start."""
    study.mkdir(parents=True, exist_ok=True)
    _interruption_file(study, current()).touch()


def interruption_requested(study: Path, invocation: Invocation) -> bool:
    """Whether a signal came to the command or to one of its workers."""
    return _interruption_file(study, invocation).exists()


def clear_stop(study: Path, invocation: Invocation) -> None:
    """Forget the requests, and what was said, at the end of the command."""
    for file in (_stop_file, _interruption_file, said_file):
        file(study, invocation).unlink(missing_ok=True)


def requests(study: Path) -> dict[Path, str]:
    """Return what commands have asked and said here, each with the name of its command."""
    files = [file for prefix in (_STOP, _INTERRUPT, _SAID) for file in study.glob(f"{prefix}*")]
    return {file: file.name.rpartition("-")[2] for file in files}


def _stop_file(study: Path, invocation: Invocation) -> Path:
    return study / f"{_STOP}{invocation.name}"


def _interruption_file(study: Path, invocation: Invocation) -> Path:
    return study / f"{_INTERRUPT}{invocation.name}"


def said_file(study: Path, invocation: Invocation) -> Path:
    """Where its workers write the lines that it prints for them."""
    return study / f"{_SAID}{invocation.name}"
