"""Decoded pixels in a folder: written once, whole or not at all, and mapped into memory."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from vitladder.data.images import Decoder, Images
from vitladder.data.sources import Part, Source
from vitladder.errors import UserError


def build(
    place: Path, source: Source, decoder: Decoder, about: Callable[[Images], dict[str, Any]]
) -> None:
    """Decode both parts into the folder `place`, with what `about` says of the training images.

    One process builds; others wait, and then find the folder. It is written under another name
    and gets its own at once. Raises UserError where it cannot be written.
    """
    with _only_builder(place):
        if place.exists():
            return
        for left in place.parent.glob(f".{place.name}-*"):  # of builders that were killed
            shutil.rmtree(left, ignore_errors=True)
        size = decoder.channels * decoder.image_size**2
        _check_room(place.parent, (len(source.train) + len(source.val)) * size)
        temporary = place.with_name(f".{place.name}-{uuid.uuid4().hex[:8]}")
        temporary.mkdir()
        try:
            _write_part(temporary, "train", source.train, decoder)
            _write_part(temporary, "val", source.val, decoder)
            text = json.dumps(about(_open_part(temporary, "train")))
            (temporary / "about.json").write_text(text)
            for file in (*temporary.iterdir(), temporary):
                _sync(file)
            _name(temporary, place)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def open_store(place: Path) -> tuple[Images, Images, dict[str, Any]]:
    """Return training and held-out images and what was said about them.

    Raises UserError for a folder that is damaged.
    """
    try:
        about = json.loads((place / "about.json").read_text())
        about["fingerprint"], about["classes"], about["notes"], about["mean"], about["std"]
        return _open_part(place, "train"), _open_part(place, "val"), about
    except (OSError, ValueError, EOFError, KeyError, TypeError) as problem:
        raise UserError(
            f"the cache {place} is damaged ({type(problem).__name__}: {problem}); "
            f"delete that folder"
        ) from problem


def _open_part(place: Path, name: str) -> Images:
    pixels = np.load(place / f"{name}.pixels.npy", mmap_mode="r")
    return Images(pixels, np.load(place / f"{name}.labels.npy"))


@contextmanager
def _only_builder(place: Path) -> Iterator[None]:
    """Let one process at a time build; the operating system frees the lock of one that dies."""
    lock = place.with_name(f".{place.name}.lock")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        held = _locked(lock)
    except OSError as problem:
        raise UserError(
            f"cannot write decoded images into {place.parent} ({problem.strerror}); "
            f"choose another folder with data.cache=..."
        ) from problem
    with held:
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)


def _locked(lock: Path) -> IO[str]:
    """Return the locked file, made anew where its last holder has removed it meanwhile."""
    while True:
        held = lock.open("w")
        fcntl.flock(held, fcntl.LOCK_EX)
        try:
            if os.path.samestat(os.fstat(held.fileno()), lock.stat()):
                return held
        except FileNotFoundError:
            pass
        held.close()


def _check_room(folder: Path, needed: int) -> None:
    """Raise UserError for a disk without room: there, writing to a memory map kills a process."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise UserError(
            f"decoded images need {needed / 2**30:.3g} GiB and {folder} has {free / 2**30:.3g} GiB "
            f"free; choose another folder with data.cache=..., or a lower data.cache_gib"
        )


def _write_part(folder: Path, name: str, part: Part, decoder: Decoder) -> None:
    shape = (len(part), decoder.channels, decoder.image_size, decoder.image_size)
    pixels = np.lib.format.open_memmap(
        folder / f"{name}.pixels.npy", mode="w+", dtype=np.uint8, shape=shape
    )
    start = 0
    for chunk in decoder.part(part):
        pixels[start : start + len(chunk)] = chunk
        start += len(chunk)
    pixels.flush()
    np.save(folder / f"{name}.labels.npy", part.labels)


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
