"""Hugging Face `datasets`, kept quiet and off the network unless a hub was asked for."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vitladder.config import DataConfig
from vitladder.data.faults import Unreadable
from vitladder.data.one_line import first_line
from vitladder.data.parquet import encoded
from vitladder.data.pixels import Stored
from vitladder.errors import UserError


@contextmanager
def _quiet() -> Iterator[None]:
    """Show progress bars of `datasets` on terminals only."""
    import datasets

    if sys.stderr.isatty() or datasets.are_progress_bars_disabled():
        yield
        return
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        datasets.enable_progress_bars()


def load(config: DataConfig) -> Any:
    """Return `datasets.load_dataset` of a hub name or local folder: splits by name.

    Downloads go where Hugging Face puts them (HF_HOME), prepared tables too, or below
    data.cache when that is given. Raises UserError, in one line, for what cannot be loaded.
    """
    import datasets

    cache = None if config.cache is None else str(Path(config.cache) / "huggingface")
    try:
        with _quiet():
            loaded = datasets.load_dataset(config.path, cache_dir=cache, streaming=config.streaming)
    except Exception as problem:  # a hub can fail in any way; the name is what the user can change
        raise UserError(
            f"data.path={config.path} cannot be loaded by Hugging Face datasets "
            f"({first_line(problem)}); it must be a local folder or a data set of the hub"
        ) from problem
    return {str(name): undecoded(table) for name, table in loaded.items()}


def undecoded(table: Any) -> Any:
    """Return the table with its Image columns as {bytes, path} instead of decoded images."""
    import datasets

    for name, feature in (table.features or {}).items():
        if isinstance(feature, datasets.Image):
            table = table.cast_column(name, datasets.Image(decode=False))
    return table


def file_bytes(value: Any, where: str) -> Stored:
    """Return the file bytes in a value of a hub's image column, or why there are none.

    Data sets of single image files hold the absolute paths of those that were downloaded.
    """
    path = value.get("path") if isinstance(value, dict) and value.get("bytes") is None else None
    if not path or not Path(path).is_absolute():
        return encoded(value, where)
    try:
        return Path(path).read_bytes()
    except OSError as problem:
        return Unreadable(where, f"{path} cannot be read ({problem.strerror})")
