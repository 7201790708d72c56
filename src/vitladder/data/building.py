"""A folder that is written once, whole or not at all, whatever happens meanwhile."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from vitladder.errors import UserError


def build(place: Path, needed: int, write: Callable[[Path], None]) -> None:
    """Let `write` fill a folder, which then gets the name `place`; it takes `needed` bytes.

    One process builds; others wait, and then find the folder. It is written under another name
    and gets its own at once. Raises UserError where it cannot be written.
    """
    with _told_in_one_line(place.parent), _only_builder(place):
        if place.exists():
            return
        for left in place.parent.glob(f".{place.name}-*"):  # of builders that were killed
            shutil.rmtree(left, ignore_errors=True)
        _check_room(place.parent, needed)
        temporary = place.with_name(f".{place.name}-{uuid.uuid4().hex[:8]}")
        temporary.mkdir()
        try:
            write(temporary)
            for file in (*temporary.iterdir(), temporary):
                _sync(file)
            _name(temporary, place)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def _told_in_one_line(folder: Path) -> Iterator[None]:
    """Turn what the system says of the folder into a UserError; readers tell of their own files."""
    try:
        yield
    except OSError as problem:
        raise UserError(
            f"cannot write decoded images into {folder} ({problem.strerror or problem}); "
            f"choose another folder with data.cache=..., or a lower data.cache_gib"
        ) from problem


@contextmanager
def _only_builder(place: Path) -> Iterator[None]:
    """Let one process at a time build; the operating system frees the lock of one that dies."""
    lock = place.with_name(f".{place.name}.lock")
    made = [folder for folder in place.parents if not folder.exists()]
    with _locked(lock):
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)
            for folder in made:
                with suppress(OSError):  # where the build failed they are empty, and go again
                    folder.rmdir()


def _locked(lock: Path) -> IO[str]:
    """Return the locked file, made anew where its last holder has removed it meanwhile."""
    while True:
        lock.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):
            held = lock.open("w")
            fcntl.flock(held, fcntl.LOCK_EX)
            if os.path.samestat(os.fstat(held.fileno()), lock.stat()):
                return held
            held.close()


def _check_room(folder: Path, needed: int) -> None:
    """Raise UserError for a disk without room, before hours of decoding fill it."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise UserError(
            f"decoded images need {needed / 2**30:.3g} GiB and {folder} has {free / 2**30:.3g} GiB "
            f"free; choose another folder with data.cache=..., or a lower data.cache_gib"
        )


def _name(temporary: Path, place: Path) -> None:
    try:
        temporary.rename(place)
    except OSError as problem:  # a host that does not share the lock was first
        if problem.errno not in (errno.EEXIST, errno.ENOTEMPTY):
            raise
    _sync(place.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
