"""Decoded pixels on disk: decoded once, found again by content, never read half-written."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from vitladder.config import DataConfig
from vitladder.data.catalog import Catalog, read_catalog
from vitladder.data.images import (
    Decoder,
    Images,
    Statistics,
    StreamedImages,
    UncachedImages,
    channel_statistics,
)
from vitladder.data.pixels import Pixels
from vitladder.data.sources import Part, fingerprint, read_source
from vitladder.data.splits import choose
from vitladder.data.streams import open_streams
from vitladder.errors import UserError

FORMAT: Final = 1
_SAMPLE: Final = 10_000
_UNCACHED_SAMPLE: Final = 2_048
_CHUNK: Final = 1_024


@dataclass(frozen=True)
class Prepared:
    """A data set ready for training; mean and std [C] are those of training pixels / 255."""

    train: Images | UncachedImages | StreamedImages
    val: Images | UncachedImages | StreamedImages
    classes: tuple[str, ...]
    mean: Statistics
    std: Statistics
    fingerprint: str
    notes: tuple[str, ...]
    image_size: int
    channels: int


def prepare(config: DataConfig, *, image_size: int, channels: int, folder: Path) -> Prepared:
    """Return the data as square images of image_size and 1 or 3 channels, decoded when it fits.

    The cache lies in data.cache, or in `folder` when that is null. Needs no torch unless
    Hugging Face streams or a hub are read. Raises UserError for data that cannot be used.
    """
    folder = Path(config.cache) if config.cache is not None else folder
    if config.streaming:
        return _streamed(config, image_size, channels, folder)
    catalog = read_catalog(config)
    if not fits(catalog, config, image_size, channels):
        return _uncached(catalog, config, image_size, channels, folder)
    content = fingerprint(catalog, config, whole=True)
    place = folder / key(content, image_size, channels)
    if not place.exists():
        _build(place, catalog, config, content, image_size, channels)
    return _open(place)


def fits(catalog: Catalog, config: DataConfig, image_size: int, channels: int) -> bool:
    """Return whether all decoded pixels take at most data.cache_gib."""
    return decoded_bytes(catalog, config, image_size, channels) <= config.cache_gib * 2**30


def decoded_bytes(catalog: Catalog, config: DataConfig, image_size: int, channels: int) -> int:
    """Return the bytes of the decoded pixels of training and held-out images together."""
    train, val = choose(list(catalog.rows), config, catalog.where)
    images = sum(len(rows) for split, rows in catalog.rows.items() if split in (train, val))
    return images * channels * image_size**2


def key(content: str, image_size: int, channels: int) -> str:
    """Return the name of the cache folder: 16 hexadecimal digits of what its pixels depend on."""
    text = f"{FORMAT} {content} {image_size} {channels}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _build(
    place: Path, catalog: Catalog, config: DataConfig, content: str, image_size: int, channels: int
) -> None:
    """Write the cache into a new folder beside `place`, then give it that name at once.

    Of several processes the first one names its folder; the others drop theirs.
    """
    source = read_source(catalog, config)
    temporary = _temporary(place, decoded_bytes(catalog, config, image_size, channels))
    try:
        decoder = Decoder(image_size, channels)
        _write_part(temporary, "train", source.train, decoder)
        _write_part(temporary, "val", source.val, decoder)
        pixels = np.load(temporary / "train.pixels.npy", mmap_mode="r")
        mean, std = channel_statistics(
            _sampled(Images(pixels, source.train.labels), _SAMPLE), channels
        )
        about = {
            "fingerprint": content,
            "classes": source.classes,
            "notes": source.notes,
            "mean": mean.tolist(),
            "std": std.tolist(),
        }
        (temporary / "about.json").write_text(json.dumps(about))
        for file in temporary.iterdir():
            _sync(file)
        _sync(temporary)
        _name(temporary, place)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _temporary(place: Path, needed: int) -> Path:
    """Return a new folder beside `place` on a disk with room for the pixels.

    The room is checked first: writing to a memory map of a full disk kills the process.
    """
    folder = place.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{place.name}-", dir=folder))
    except OSError as problem:
        raise UserError(
            f"cannot write decoded images into {folder} ({problem.strerror}); "
            f"choose another folder with data.cache=..."
        ) from problem
    free = shutil.disk_usage(folder).free
    if free < needed:
        temporary.rmdir()
        raise UserError(
            f"decoded images need {needed / 2**30:.3g} GiB and {folder} has {free / 2**30:.3g} GiB "
            f"free; choose another folder with data.cache=..., or a lower data.cache_gib"
        )
    return temporary


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
    except OSError as problem:
        if problem.errno not in (errno.EEXIST, errno.ENOTEMPTY):
            raise
    _sync(place.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _open(place: Path) -> Prepared:
    try:
        about = json.loads((place / "about.json").read_text())
        train, val = (_open_part(place, name) for name in ("train", "val"))
    except (OSError, ValueError, EOFError) as problem:
        raise UserError(
            f"the cache {place} is damaged ({problem}); delete that folder"
        ) from problem
    return Prepared(
        train=train,
        val=val,
        classes=tuple(about["classes"]),
        mean=np.array(about["mean"], dtype=np.float32),
        std=np.array(about["std"], dtype=np.float32),
        fingerprint=about["fingerprint"],
        notes=tuple(about["notes"]),
        image_size=train.pixels.shape[2],
        channels=train.pixels.shape[1],
    )


def _open_part(place: Path, name: str) -> Images:
    pixels = np.load(place / f"{name}.pixels.npy", mmap_mode="r")
    return Images(pixels, np.load(place / f"{name}.labels.npy"))


def _uncached(
    catalog: Catalog, config: DataConfig, image_size: int, channels: int, folder: Path
) -> Prepared:
    source = read_source(catalog, config)
    train = UncachedImages(source.train, folder, image_size=image_size, channels=channels)
    val = UncachedImages(source.val, folder, image_size=image_size, channels=channels)
    mean, std = channel_statistics(_sampled(train, _UNCACHED_SAMPLE), channels)
    size = decoded_bytes(catalog, config, image_size, channels) / 2**30
    note = (
        f"not cached: {size:.3g} GiB decoded exceed data.cache_gib={config.cache_gib:g}; "
        f"images are decoded again in every epoch"
    )
    content = fingerprint(catalog, config, whole=False)
    return Prepared(
        train=train,
        val=val,
        classes=source.classes,
        mean=mean,
        std=std,
        fingerprint=content,
        notes=(*source.notes, note),
        image_size=image_size,
        channels=channels,
    )


def _sampled(images: Images | UncachedImages, most: int) -> list[Pixels]:
    """Return at most `most` images, evenly spaced over the stored order, in chunks."""
    count = min(len(images), most)
    numbers = np.arange(count) * len(images) // count
    return [images.gather(numbers[i : i + _CHUNK]) for i in range(0, count, _CHUNK)]


def _streamed(config: DataConfig, image_size: int, channels: int, folder: Path) -> Prepared:
    streams = open_streams(config, folder)
    train = StreamedImages(streams.train, image_size=image_size, channels=channels)
    val = StreamedImages(streams.val, image_size=image_size, channels=channels)
    sample, _ = next(train.once(_UNCACHED_SAMPLE))
    mean, std = channel_statistics([sample], channels)
    return Prepared(
        train=train,
        val=val,
        classes=streams.classes,
        mean=mean,
        std=std,
        fingerprint=streams.fingerprint,
        notes=streams.notes,
        image_size=image_size,
        channels=channels,
    )
