"""Digests of what is stored: of whole files, of their ends, of lines of text."""

from __future__ import annotations

import hashlib
from pathlib import Path

_FOOTER = 2**16


def file_sha256(file: Path) -> str:
    """Return the sha256 of a file's bytes, read once per process while it does not change."""
    state = file.stat()
    version = (str(file.resolve()), state.st_size, state.st_mtime_ns)
    if version not in _hashed:
        with file.open("rb") as stream:
            _hashed[version] = hashlib.file_digest(stream, "sha256").hexdigest()
    return _hashed[version]


_hashed: dict[tuple[str, int, int], str] = {}


def end_sha256(file: Path) -> str:
    """Return the sha256 of a file's last 64 KiB."""
    with file.open("rb") as stream:
        stream.seek(max(0, file.stat().st_size - _FOOTER))
        return hashlib.sha256(stream.read()).hexdigest()


def lines_sha256(*lines: str) -> str:
    """Return the sha256 of the lines."""
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
