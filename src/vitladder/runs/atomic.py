"""Files that are either whole or absent, whatever happens while they are written."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_UNFINISHED = ".unfinished"


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary file in the same folder that takes the place of `path` at the end.

    The bytes reach the disk before the name does; on an error the old file stays as it was.
    """
    with unnamed(path.parent) as temporary:
        yield temporary
        give_name(temporary, path)


@contextmanager
def unnamed(folder: Path) -> Iterator[Path]:
    """Give a temporary file in a folder, which is gone at the end unless it was given a name."""
    handle, name = tempfile.mkstemp(dir=folder, prefix=".", suffix=_UNFINISHED)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def give_name(temporary: Path, path: Path) -> None:
    """Let a written file take the place of `path` in the same folder, once it is on the disk."""
    temporary.chmod(0o666 & ~_umask())
    _flush(temporary, os.O_RDWR)
    temporary.replace(path)
    _flush(path.parent, os.O_RDONLY)


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def remove_unfinished(folder: Path) -> None:
    """Remove what killed processes left half-written; nobody else may be writing there."""
    for left in folder.glob(f".*{_UNFINISHED}"):
        left.unlink(missing_ok=True)


def _umask() -> int:
    """Return the mode bits that new files of this user lack; only setting it tells."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _flush(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
