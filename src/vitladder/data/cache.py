"""A data set ready for training: decoded once and found again by content, or decoded as it goes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from vitladder.config import DataConfig
from vitladder.data.catalog import Catalog, read_catalog
from vitladder.data.decoder import Decoder
from vitladder.data.describe import describe, differences
from vitladder.data.fingerprint import data_fingerprint as data_fingerprint
from vitladder.data.images import (
    Images,
    Statistics,
    StreamedImages,
    UncachedImages,
    channel_statistics,
)
from vitladder.data.reading import Filled, LeftOut
from vitladder.data.rows import by_number
from vitladder.data.skipped import SkippedImages
from vitladder.data.sources import known_whole, read_source
from vitladder.data.store import build_store, open_store
from vitladder.data.streams import open_streams

FORMAT: Final = 3
"""Part of every cache's name: another one when the same files become other pixels."""

_SAMPLE: Final = 10_000

TrainOrVal = Images | UncachedImages | StreamedImages


@dataclass(frozen=True)
class Prepared:
    """A data set ready for training; mean and std [C] are those of training pixels / 255.

    They are taken from 10,000 images evenly spaced over the stored order, however the images are
    stored; of a hub's stream, from its first 10,000. `skipped` counts the images that could not
    be read: in a cache all of them, else those that were met so far.
    """

    train: TrainOrVal
    val: TrainOrVal
    classes: tuple[str, ...]
    mean: Statistics
    std: Statistics
    fingerprint: str
    notes: tuple[str, ...]
    image_size: int
    channels: int
    skipped: SkippedImages


def prepare(config: DataConfig, *, image_size: int, channels: int, folder: Path) -> Prepared:
    """Return the data as square images of image_size and 1 or 3 channels, decoded when it fits.

    The cache lies in data.cache, or in `folder` when that is null. Needs no torch unless
    Hugging Face streams or a hub are read. Raises UserError for data that cannot be used.
    """
    decoder = Decoder(image_size, channels, drop_colours=_grey_asked(config, channels))
    if config.streaming:
        return _streamed(config, decoder)
    catalog = read_catalog(config)
    cache = place(catalog, config, image_size, channels, folder)
    if cache is None:
        return _uncached(catalog, config, decoder, _folder(config, folder))
    if not cache.exists():
        _build(cache, catalog, config, decoder)
    train, val, about = open_store(cache)
    skipped = SkippedImages.none_yet(len(train), len(val), config.on_error)
    skipped.load_state_dict(about.get("skipped", skipped.state_dict()))
    return _prepared(train, val, about, decoder, skipped)


def _build(cache: Path, catalog: Catalog, config: DataConfig, decoder: Decoder) -> None:
    source = read_source(catalog, config)
    notes = (*source.notes, *_image_notes(config, decoder.channels))
    mark = data_fingerprint(config)
    build_store(
        cache,
        source,
        decoder,
        SkippedImages.none_yet(len(source.train), len(source.val), config.on_error),
        lambda train: _about(train, source.classes, mark, notes),
    )


def _grey_asked(config: DataConfig, channels: int) -> bool:
    """Return whether a set known to have colours shall be grey: unasked, it would be RGB."""
    return channels == 1 and describe(config).channels == 3


def _image_notes(config: DataConfig, channels: int) -> tuple[str, ...]:
    """Return a sentence for each thing that is done to images of some kinds only."""
    grey = "images with colours are made grey, as model.channels=1 asks"
    return (*differences(config), *((grey,) if _grey_asked(config, channels) else ()))


def place(
    catalog: Catalog, config: DataConfig, image_size: int, channels: int, folder: Path
) -> Path | None:
    """Return where the decoded pixels lie or would lie, None when they exceed data.cache_gib."""
    if decoded_bytes(catalog, image_size, channels) > config.cache_gib * 2**30:
        return None
    # Other images in files of the same names and sizes: here, on one disk, their time tells.
    large = () if known_whole(catalog) else catalog.used
    times = [catalog.rows[split].changed() for split in large]
    text = f"{FORMAT} {data_fingerprint(config)} {times} {image_size} {channels}"
    return _folder(config, folder) / hashlib.sha256(text.encode()).hexdigest()[:16]


def decoded_bytes(catalog: Catalog, image_size: int, channels: int) -> int:
    """Return the bytes of the decoded pixels of training and held-out images together."""
    images = sum(len(catalog.rows[split]) for split in catalog.used)
    return images * channels * image_size**2


def _folder(config: DataConfig, folder: Path) -> Path:
    return Path(config.cache) if config.cache is not None else folder


def _uncached(catalog: Catalog, config: DataConfig, decoder: Decoder, folder: Path) -> Prepared:
    source = read_source(catalog, config)
    skipped = SkippedImages.none_yet(len(source.train), len(source.val), config.on_error)
    training, held_out = (
        replace(part, rows=by_number(part.rows, folder)) for part in (source.train, source.val)
    )
    train = UncachedImages(training, Filled(decoder, training.following, skipped.train))
    val = UncachedImages(held_out, LeftOut(decoder, skipped.val))
    size = decoded_bytes(catalog, decoder.image_size, decoder.channels) / 2**30
    note = (
        f"not cached: {size:.3g} GiB decoded exceed data.cache_gib={config.cache_gib:g}; "
        f"images are decoded again in every epoch"
    )
    notes = (*source.notes, *_image_notes(config, decoder.channels), note)
    about = _about(train, source.classes, data_fingerprint(config), notes)
    return _prepared(train, val, about, decoder, skipped)


def _streamed(config: DataConfig, decoder: Decoder) -> Prepared:
    streams = open_streams(config)
    skipped = SkippedImages.none_yet(streams.train.count, streams.val.count, config.on_error)
    reading = Filled(decoder, streams.train.following, skipped.train)
    train = StreamedImages(streams.train, reading)
    val = StreamedImages(streams.val, LeftOut(decoder, skipped.val))
    notes = (*streams.notes, *_image_notes(config, decoder.channels))
    about = _about(train, streams.classes, streams.fingerprint, notes)
    return _prepared(train, val, about, decoder, skipped)


def _about(
    train: TrainOrVal, classes: tuple[str, ...], fingerprint: str, notes: tuple[str, ...]
) -> dict[str, Any]:
    """Return everything but the images, as it is kept beside them."""
    mean, std = channel_statistics(train.sampled(_SAMPLE))
    return {
        "fingerprint": fingerprint,
        "classes": classes,
        "notes": notes,
        "mean": mean.tolist(),
        "std": std.tolist(),
    }


def _prepared(
    train: TrainOrVal,
    val: TrainOrVal,
    about: dict[str, Any],
    decoder: Decoder,
    skipped: SkippedImages,
) -> Prepared:
    return Prepared(
        train=train,
        val=val,
        classes=tuple(about["classes"]),
        mean=np.array(about["mean"], dtype=np.float32),
        std=np.array(about["std"], dtype=np.float32),
        fingerprint=about["fingerprint"],
        notes=tuple(about["notes"]),
        image_size=decoder.image_size,
        channels=decoder.channels,
        skipped=skipped,
    )
