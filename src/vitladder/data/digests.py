"""Digests of what is stored: of whole files, of their ends, of lines of text."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from pathlib import Path

_FOOTER = 2**16


def file_sha256(file: Path) -> str:
    """Return the sha256 of a file's bytes, read once per process while it does not change."""
    state = regular_file(file).stat()
    version = (str(file.resolve()), state.st_size, state.st_mtime_ns)
    if version not in _hashed:
        with file.open("rb") as stream:
            _hashed[version] = hashlib.file_digest(stream, "sha256").hexdigest()
    return _hashed[version]


_hashed: dict[tuple[str, int, int], str] = {}


def regular_file(file: Path) -> Path:
    """Return the file; raises OSError for a pipe or a device, which may never end."""
    if not stat.S_ISREG(file.stat().st_mode):
        raise OSError(errno.EINVAL, "not a regular file", os.fspath(file))
    return file


def end_sha256(file: Path) -> str:
    """Return the sha256 of a file's last 64 KiB."""
    with file.open("rb") as stream:
        stream.seek(max(0, file.stat().st_size - _FOOTER))
        return hashlib.sha256(stream.read()).hexdigest()


def lines_sha256(*lines: str) -> str:
    """Return the sha256 of the lines; names of files are the bytes that they are on disk."""
    return hashlib.sha256("\n".join(lines).encode(errors="surrogateescape")).hexdigest()
