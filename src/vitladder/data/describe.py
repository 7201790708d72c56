"""What a data set is, told without torch and without decoding it: counts and shape."""

from __future__ import annotations

from itertools import islice
from typing import Final

from vitladder.config import DataConfig, DataShape
from vitladder.data.catalog import read_catalog
from vitladder.data.headers import part_headers, read_headers, with_late_colour
from vitladder.data.remember import Remembered
from vitladder.data.rows import DigitRows
from vitladder.data.skipped import Skipped, SkippedImages
from vitladder.data.sources import known_whole, read_source
from vitladder.data.splits import held_out_count
from vitladder.data.streams import open_streams

_LOOKED_AT: Final = 200


def describe(config: DataConfig) -> DataShape:
    """Return counts and shape: labels are read, and the headers of some hundred training images.

    The size is their most frequent shorter side. One image with colours makes the set RGB: where
    those looked at are grey, all others are opened too, up to 1 GiB of files; of larger sets
    `prepare` refuses an image with colours.
    Raises UserError, in one line, for data that is absent, unreadable, or no classification set.
    """
    return _described(config)[0]


def differences(config: DataConfig) -> tuple[str, ...]:
    """Return a sentence for what differs between those images: their sizes, their modes."""
    return _described(config)[1]


def _describe(config: DataConfig) -> tuple[DataShape, tuple[str, ...]]:
    if config.name == "digits":
        return _describe_digits(config), ()
    if config.name == "hub" and config.streaming:
        return _describe_stream(config)
    catalog = read_catalog(config)
    source = read_source(catalog, config)
    skipped = SkippedImages.none_yet(len(source.train), len(source.val), config.on_error)
    seen = part_headers(source.train, _LOOKED_AT, skipped.train)
    if known_whole(catalog):
        seen = with_late_colour(seen, source, skipped)
    shape = DataShape(
        train_images=len(source.train),
        val_images=len(source.val),
        image_size=seen.image_size,
        channels=seen.channels,
        classes=len(source.classes),
    )
    return shape, seen.differences()


_described = Remembered(_describe)


def _describe_digits(config: DataConfig) -> DataShape:
    read_catalog(config)
    held_out = sum(held_out_count(n, config.val_fraction) for n in DigitRows.CLASS_COUNTS)
    return DataShape(
        train_images=sum(DigitRows.CLASS_COUNTS) - held_out,
        val_images=held_out,
        image_size=DigitRows.SIZE,
        channels=1,
        classes=len(DigitRows.CLASS_COUNTS),
    )


def _describe_stream(config: DataConfig) -> tuple[DataShape, tuple[str, ...]]:
    streams = open_streams(config)
    first = islice(streams.train.read(0), _LOOKED_AT)
    seen = read_headers(first, Skipped("training", streams.train.count, config.on_error))
    shape = DataShape(
        train_images=streams.train.count,
        val_images=streams.val.count,
        image_size=seen.image_size,
        channels=seen.channels,
        classes=len(streams.classes),
    )
    return shape, seen.differences()
