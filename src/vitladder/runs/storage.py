"""What the disk refuses, in words: no room, no right to write, a folder that is gone."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vitladder.errors import RunFailed, UserError

_WORDS = {
    errno.ENOSPC: "there is no room left on the disk",
    errno.EDQUOT: "your quota on the disk is used up",
    errno.EFBIG: "a file there may not become so large",
    errno.EROFS: "the disk is read-only",
    errno.EIO: "the disk fails (input/output error)",
    errno.EACCES: "you have no right to write there",
    errno.EPERM: "you have no right to write there",
    errno.ENOENT: "the folder is gone",
    errno.ESTALE: "the folder is gone",
    errno.ENOTDIR: "a part of its path is a file",
    errno.EEXIST: "a part of its path is a file",
}
WITHOUT_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
"""What a file system without locks answers."""

# A write that fails for these reasons does not say to which file.
_NAMELESS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.ESTALE)


@contextmanager
def writing_in(folder: Path) -> Iterator[None]:
    """Raise RunFailed, in one line, where the block cannot write in the folder."""
    try:
        yield
    except OSError as error:
        if not _is_about(error, folder):
            raise
        raise RunFailed(
            f"cannot write in {folder}: {_in_words(error)}; what is recorded there stays, and the "
            f"same command goes on once it can write"
        ) from error


def check_writable(folder: Path, needed: int) -> None:
    """Make sure that runs can be written in a folder, which may not be there yet.

    Raises UserError where they cannot be, where nothing can be locked, and where there is no room
    for so many bytes.
    """
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    try:
        with tempfile.TemporaryFile(dir=there) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            free = shutil.disk_usage(there).free
    except OSError as error:
        if error.errno in WITHOUT_LOCKS:
            raise no_locks(there, error) from error
        raise UserError(
            f"cannot write in {folder}: {_in_words(error)}; give another folder with outputs=..."
        ) from error
    if free < needed:
        raise UserError(
            f"{folder} has {free / 2**20:,.0f} MiB free, and the checkpoints of the largest run "
            f"need {needed / 2**20:,.0f} MiB; make room, or give another folder with outputs=..."
        )


def no_locks(folder: Path, error: OSError) -> UserError:
    """Return the error for a file system on which two commands could train one run."""
    return UserError(
        f"the file system of {folder} has no locks ({error.strerror}), so that two commands could "
        f"train one run; put `outputs` on another, or mount it with flock"
    )


def _in_words(error: OSError) -> str:
    return _WORDS.get(error.errno or 0) or error.strerror or type(error).__name__


def _is_about(error: OSError, folder: Path) -> bool:
    if error.errno in _NAMELESS:
        return True
    name = error.filename
    if error.errno not in _WORDS or not isinstance(name, str | bytes | os.PathLike):
        return False
    return Path(os.fsdecode(name)).absolute().is_relative_to(folder.absolute())
