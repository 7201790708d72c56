"""What the commands that are at work on a study mean to train, for whoever looks on."""

from __future__ import annotations

import fcntl
import json
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TextIO

from vitladder.runs.invocation import Invocation, requests

_PREFIX = ".announced-"


@dataclass(frozen=True)
class Announced:
    """A run to be trained: width x depth, N in parameters, C in training FLOPs, as far as known."""

    run_key: str
    shape: str
    n_params: int | None
    flops: float | None


@dataclass(frozen=True)
class Announcement:
    """One command at work: its words, the name it gives its records, where it is, its runs."""

    command: str
    invocation: str
    process: int
    host: str
    runs: Sequence[Announced]


@contextmanager
def announced(study: Path, invocation: Invocation, runs: Sequence[Announced]) -> Iterator[None]:
    """Say within this block what the command means to train in the study.

    The file is locked meanwhile, so that one left by a killed command is known as such.
    """
    what = Announcement(
        invocation.command, invocation.name, os.getpid(), socket.gethostname(), runs
    )
    file = study / f"{_PREFIX}{invocation.name}.json"
    with ExitStack() as stack:
        # It is for onlookers: a run that cannot be written says so itself.
        with suppress(OSError):
            study.mkdir(parents=True, exist_ok=True)
            stack.callback(_removed, file)
            opened = stack.enter_context(_locked(file))
            # Not through the file's buffer, which a full disk would refuse again as it is closed.
            os.write(opened.fileno(), json.dumps(asdict(what)).encode())
        yield


def _removed(file: Path) -> None:
    with suppress(OSError):
        file.unlink()


def _locked(file: Path) -> TextIO:
    """Open a new file and lock it, again if another command took it for one of a dead command."""
    while True:
        opened = file.open("w", encoding="utf-8")
        fcntl.flock(opened, fcntl.LOCK_EX)
        if _is_still(opened, file):
            return opened
        opened.close()


def _is_still(opened: TextIO, file: Path) -> bool:
    """Whether an open file is the one of that name: it was until then nobody's, and removable."""
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(opened.fileno()), file.stat())
    return False


def read_announcements(study: Path) -> list[Announcement]:
    """Return those of the commands that are alive, in the order of their names."""
    found = [_read(file) for file in _files(study) if _is_alive(file)]
    return [read for read in found if read is not None]


def forget_the_dead(study: Path) -> None:
    """Remove what commands that were killed have said here, and what they asked of their runs."""
    # These first: a command asks nothing before it has announced itself.
    asked = requests(study)
    alive = {_name(file) for file in _files(study) if not _removed_if_dead(file)}
    for file, name in asked.items():
        # Where nothing can be written they do no harm.
        with suppress(OSError):
            if name not in alive:
                file.unlink()


def _files(study: Path) -> list[Path]:
    return [file for file in sorted(study.glob(f"{_PREFIX}*.json")) if file.is_file()]


def _name(file: Path) -> str:
    return file.stem.removeprefix(_PREFIX)


def _read(file: Path) -> Announcement | None:
    """An announcement, or None of a command that has not yet said all."""
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
        return Announcement(**data | {"runs": [Announced(**run) for run in data["runs"]]})
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _is_alive(file: Path) -> bool:
    try:
        with file.open(encoding="utf-8") as opened:
            fcntl.flock(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _removed_if_dead(file: Path) -> bool:
    """Remove the file of a dead command, locked meanwhile: one that begins would lock it too."""
    try:
        with file.open("r+", encoding="utf-8") as opened:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
            removable = _is_still(opened, file)
            if removable:
                file.unlink()
            return removable
    except OSError:
        # It is alive, another user's, or another command's to remove: its requests stay.
        return False
