"""What a data set is, told without torch and without decoding it: counts and shape."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from vitladder.config import AugmentConfig, DataConfig, DataShape
from vitladder.data.catalog import first_row, read_catalog
from vitladder.data.pixels import header
from vitladder.data.rows import DigitRows
from vitladder.data.sources import read_source
from vitladder.data.splits import choose, held_out_count


def describe(config: DataConfig) -> DataShape:
    """Return counts and shape: labels are read, and the first training image is looked at.

    Raises UserError, in one line, for data that is absent, unreadable, or no classification set.
    Asked again in the same process, it answers from memory.
    """
    about = _about_source(config)
    if repr(about) not in _described:
        _described[repr(about)] = _describe(about)
    return _described[repr(about)]


_described: dict[str, DataShape] = {}


def _about_source(config: DataConfig) -> DataConfig:
    """Return the config with what says nothing about the source set to one value."""
    return replace(
        config,
        batch_size=1,
        val_batch_size=1,
        cache_gib=1.0,
        augment=AugmentConfig(crop=0, flip=False, randaugment=0, mixup=0.0, cutmix=0.0),
    )


def _describe(config: DataConfig) -> DataShape:
    if config.name == "digits":
        return _describe_digits(config)
    if config.name == "hub" and config.streaming:
        return _describe_stream(config)
    source = read_source(read_catalog(config), config)
    first = header(*first_row(source.train.rows, int(source.train.indices[0])))
    return DataShape(
        train_images=len(source.train),
        val_images=len(source.val),
        image_size=first.size,
        channels=first.channels,
        classes=len(source.classes),
    )


def _describe_digits(config: DataConfig) -> DataShape:
    choose(list(read_catalog(config).rows), config, "digits")
    held_out = sum(held_out_count(n, config.val_fraction) for n in DigitRows.CLASS_COUNTS)
    return DataShape(
        train_images=sum(DigitRows.CLASS_COUNTS) - held_out,
        val_images=held_out,
        image_size=DigitRows.SIZE,
        channels=1,
        classes=len(DigitRows.CLASS_COUNTS),
    )


def _describe_stream(config: DataConfig) -> DataShape:
    from vitladder.data.streams import open_streams

    streams = open_streams(config, Path(config.cache or ""))
    raw, where, _ = next(streams.train.read(0))
    first = header(raw, where)
    return DataShape(
        train_images=streams.train.count,
        val_images=streams.val.count,
        image_size=first.size,
        channels=first.channels,
        classes=len(streams.classes),
    )
