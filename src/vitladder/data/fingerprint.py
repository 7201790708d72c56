"""What tells one data set from another: the same for the same files on any disk."""

from __future__ import annotations

from vitladder.config import DataConfig
from vitladder.data.catalog import read_catalog
from vitladder.data.remember import Remembered
from vitladder.data.sources import fingerprint
from vitladder.data.streams import open_streams


def data_fingerprint(config: DataConfig) -> str:
    """Return the sha256 of the source's files, columns and splits, as `prepare` gives it too.

    It does not depend on how images are cached. Decodes nothing; asked again, it is answered from
    memory while no file changes. Raises UserError for data that cannot be used.
    """
    return _fingerprint(config)


def _read(config: DataConfig) -> str:
    if config.name == "hub" and config.streaming:
        return open_streams(config).fingerprint
    return fingerprint(read_catalog(config), config)


_fingerprint = Remembered(_read)
