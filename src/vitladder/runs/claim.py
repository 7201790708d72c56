"""One process at a time trains a run: an advisory lock, freed by the system when its owner ends."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TextIO

from vitladder.runs.atomic import remove_unfinished
from vitladder.runs.invocation import stop_requested
from vitladder.runs.record import FINISHED, Record, read_record
from vitladder.runs.storage import WITHOUT_LOCKS, no_locks, writing_in
from vitladder.runs.sweep import Place

_LOCK = ".lock"
_LOOK_SECONDS = 0.5


@dataclass(frozen=True)
class Owner:
    """Who trains a run, or did last: the name of the command, the process and its host."""

    invocation: str = ""
    process: int = 0
    host: str = ""

    def __str__(self) -> str:
        """Say which process it is."""
        return f"process {self.process} on {self.host}"


@contextmanager
def claimed(place: Place, name: str) -> Iterator[bool]:
    """Let one process at a time train this run; `name` is that of the command.

    Gives False where another process is training it, and where this command has seen it fail.
    The claim of a process that has ended, however it ended, is void: what it left half-written is
    removed. Raises UserError where the folder's file system has no locks, and RunFailed where the
    folder cannot be written.
    """
    with ExitStack() as stack:
        with writing_in(place.folder):
            place.folder.mkdir(parents=True, exist_ok=True)
            file = stack.enter_context((place.folder / _LOCK).open("a+", encoding="utf-8"))
            # Who only looks whether a run is busy holds its lock for a moment.
            mine = any(_locked(file, fcntl.LOCK_EX, after=wait) for wait in (0, 0.01, 0.03))
            if mine:
                _take_over(place, file, name)
        record = read_record(place.folder)
        yield mine and not (record and record.status == "failed" and record.is_of(name))


def _take_over(place: Place, file: TextIO, name: str) -> None:
    """Write whose the run is now, and remove what its last owner left half-written."""
    owner = json.dumps(asdict(Owner(name, os.getpid(), socket.gethostname())))
    # Not through the file's buffer: what a full disk refuses would be tried again as it is closed.
    os.ftruncate(file.fileno(), 0)
    left = owner.encode()
    while left:
        left = left[os.write(file.fileno(), left) :]
    if _orphans_have_ended(place):
        for folder in (place.folder, place.folder / "checkpoints"):
            remove_unfinished(folder)


def _orphans_have_ended(place: Place) -> bool:
    """Wait for processes of a killed command that still save; False where this one shall end."""
    for file in place.folder.glob(".rank*"):
        with file.open() as lock:
            if _locked(lock, fcntl.LOCK_SH):
                continue
            print(
                f"{place.run_key} is being saved by a command that was killed; waiting for it",
                flush=True,
            )
            while not _locked(lock, fcntl.LOCK_SH, after=_LOOK_SECONDS):
                if stop_requested(place.study_folder):
                    return False
    return True


def died(place: Place, name: str) -> bool:
    """Whether the command of this name began this run and the process ended without a record."""
    owner = _last_owner(place)
    if owner is None or owner.invocation != name or is_busy(place):
        return False
    record = read_record(place.folder)
    return record is None or not has_ended(record, name)


def has_ended(record: Record, name: str) -> bool:
    """Whether a run needs nothing more of this command: it is finished, or the command saw why."""
    return record.status in FINISHED or record.is_of(name)


def left_over(places: Sequence[Place], name: str) -> list[Place]:
    """Return the runs that this command passed by, since another one was training them."""
    left = []
    for place in places:
        owner, record = _last_owner(place), read_record(place.folder)
        of_another = owner is not None and owner.invocation != name
        if of_another and not (record and has_ended(record, name)):
            left.append(place)
    return left


def wait_for_one(places: Sequence[Place]) -> None:
    """Wait until one of these runs is trained by nobody."""
    for place in places:
        if is_busy(place):
            owner = _last_owner(place)
            print(f"{place.run_key} is being trained by {owner}; waiting for it", flush=True)
    while all(is_busy(place) for place in places):
        time.sleep(_LOOK_SECONDS)


def is_busy(place: Place) -> bool:
    """Whether a process trains this run now."""
    file = place.folder / _LOCK
    if not file.is_file():
        return False
    with file.open(encoding="utf-8") as lock:
        return not _locked(lock, fcntl.LOCK_SH)


def _last_owner(place: Place) -> Owner | None:
    file = place.folder / _LOCK
    if not file.is_file():
        return None
    try:
        return Owner(**json.loads(file.read_text(encoding="utf-8")))
    except (ValueError, TypeError):
        # Its owner is writing its name, or was killed while it did.
        return Owner()


def _locked(file: TextIO, how: int, after: float = 0.0) -> bool:
    """Take a lock that is held until the file is closed; return whether nobody else has it."""
    time.sleep(after)
    try:
        fcntl.flock(file, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in WITHOUT_LOCKS:
            raise
        raise no_locks(Path(file.name).parent, error) from error
    return True
