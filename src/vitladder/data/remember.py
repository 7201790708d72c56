"""Answers about a source, kept for this process while the source's files stay as they are."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Generic, TypeVar

from vitladder.config import AugmentConfig, DataConfig

T = TypeVar("T")


class Remembered(Generic[T]):
    """A function of the source that a config names, asked again only when its files changed.

    Files are known by name, size and time; a source that is no local path, by its config. The
    answer must not depend on batches, augmentation or the cache's size.
    """

    def __init__(self, answer: Callable[[DataConfig], T]) -> None:
        self._answer = answer
        self._known: dict[str, tuple[str, T]] = {}

    def __call__(self, config: DataConfig) -> T:
        """Return the answer for this config."""
        about = _about_source(config)
        state = _state(config.path)
        known = self._known.get(repr(about))
        if known is None or known[0] != state:
            known = state, self._answer(about)
            self._known[repr(about)] = known
        return known[1]


def _about_source(config: DataConfig) -> DataConfig:
    """Return the config with what says nothing about the source set to one value."""
    return replace(
        config,
        batch_size=1,
        val_batch_size=1,
        cache_gib=1.0,
        augment=AugmentConfig(crop=0, flip=False, randaugment=0, mixup=0.0, cutmix=0.0),
    )


def _state(path: str | None) -> str:
    """Return a digest of name, size and time of the file, or of all files below the folder."""
    digest = hashlib.sha256()
    root = Path(path) if path is not None else None
    folders = [root] if root is not None and root.is_dir() else []
    if root is not None and root.is_file():
        digest.update(_line(root.name, root.stat()))
    while folders:
        for entry in sorted(os.scandir(folders.pop()), key=lambda entry: entry.name):
            if entry.is_dir(follow_symlinks=False):
                folders.append(Path(entry.path))
            else:
                dangling = entry.is_symlink() and not Path(entry.path).exists()
                digest.update(_line(entry.path, entry.stat(follow_symlinks=not dangling)))
    return digest.hexdigest()


def _line(name: str, state: os.stat_result) -> bytes:
    return f"{name} {state.st_size} {state.st_mtime_ns}\n".encode(errors="surrogateescape")
