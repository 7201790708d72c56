"""What is in a data set, for people: splits, classes, sizes, modes, and where its cache lies."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from vitladder.config import DataConfig, DataShape
from vitladder.data.cache import decoded_bytes, place
from vitladder.data.catalog import read_catalog
from vitladder.data.describe import describe
from vitladder.data.headers import Headers, part_headers, with_late_colour
from vitladder.data.skipped import SkippedImages
from vitladder.data.sources import Source, known_whole, read_source
from vitladder.errors import UserError

_ALL: Final = 20_000
_SAMPLE: Final = 5_000
_CLASSES_SHOWN: Final = 20


@dataclass(frozen=True)
class Inspection:
    """What was found; `looked_at` images of the training and held-out ones were opened."""

    where: str
    kind: str
    splits: dict[str, int]
    shape: DataShape
    classes: dict[str, tuple[int, int]]
    sizes: Counter[tuple[int, int]]
    modes: Counter[str]
    looked_at: int
    cache: Path | None
    cache_bytes: int | None
    decoded_bytes: int
    notes: tuple[str, ...]


def guess(source: str) -> str:
    """Return which `data=` a SOURCE means: digits, parquet or imagefolder.

    The word digits, a parquet file, a folder with parquet files, or a folder of class folders.
    Raises UserError when there is no such file or folder.
    """
    path = Path(source)
    if source == "digits" and not path.exists():
        return "digits"
    if not path.exists():
        raise UserError(
            f"no such file or folder: {source}; SOURCE is digits, a parquet file, a folder of "
            f"parquet files or of class folders, or with --hub a data set of the hub"
        )
    parquet = path.is_file() or next(path.rglob("*.parquet"), None) is not None
    return "parquet" if parquet else "imagefolder"


def inspect(config: DataConfig, folder: Path) -> Inspection:
    """Look at a data set: all labels, and the headers of up to 20,000 images or of a sample.

    `folder` is where the cache lies unless data.cache says otherwise; nothing is decoded into it.
    Raises UserError for data that cannot be used.
    """
    config = replace(config, streaming=False)
    shape = describe(config)
    catalog = read_catalog(config)
    source = read_source(catalog, config)
    skipped = SkippedImages.none_yet(len(source.train), len(source.val), config.on_error)
    headers = _headers(source, skipped)
    if known_whole(catalog):
        headers = with_late_colour(headers, source, skipped)
    cache = place(catalog, config, shape.image_size, shape.channels, folder)
    built = cache is not None and cache.exists()
    return Inspection(
        where=catalog.where,
        kind=config.name,
        splits={split: len(rows) for split, rows in catalog.rows.items()},
        shape=shape,
        classes=_class_counts(source),
        sizes=headers.sizes,
        modes=headers.modes,
        looked_at=headers.counts.total(),
        cache=cache,
        cache_bytes=_folder_bytes(cache) if cache is not None and built else None,
        decoded_bytes=decoded_bytes(catalog, shape.image_size, shape.channels),
        notes=(*source.notes, *headers.differences()),
    )


def format_inspection(found: Inspection) -> str:
    """Return the inspection as text of several lines."""
    shape = found.shape
    total = shape.train_images + shape.val_images
    looked = "all images" if found.looked_at == total else f"a sample of {found.looked_at:,} images"
    lines = [
        f"{found.where} ({found.kind})",
        "splits    " + ", ".join(f"{name} {count:,}" for name, count in found.splits.items()),
        f"training  {shape.train_images:,} images; held out {shape.val_images:,}",
        f"as        {shape.image_size} x {shape.image_size}, {_channels(shape.channels)}",
        f"sizes     {_sizes(found.sizes)} ({looked})",
        "modes     " + ", ".join(f"{mode} {n:,}" for mode, n in found.modes.most_common()),
        f"cache     {_cache(found)}",
        *(f"note      {note}" for note in found.notes),
        f"classes   {shape.classes:,} (training, held out)",
        *_class_lines(found.classes),
    ]
    return "\n".join(lines)


def _headers(source: Source, skipped: SkippedImages) -> Headers:
    total = len(source.train) + len(source.val)
    share = 1.0 if total <= _ALL else _SAMPLE / total
    train, val = (
        part_headers(part, max(1, round(share * len(part))), those)
        for part, those in ((source.train, skipped.train), (source.val, skipped.val))
    )
    return Headers(train.counts + val.counts)


def _class_counts(source: Source) -> dict[str, tuple[int, int]]:
    number = len(source.classes)
    train = np.bincount(source.train.labels, minlength=number)
    val = np.bincount(source.val.labels, minlength=number)
    return {name: (int(train[i]), int(val[i])) for i, name in enumerate(source.classes)}


def _folder_bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir())


def _channels(channels: int) -> str:
    return "grey" if channels == 1 else "RGB"


def _sizes(sizes: Counter[tuple[int, int]]) -> str:
    if len(sizes) == 1:
        return "all {} x {}".format(*next(iter(sizes)))
    widths, heights = zip(*sizes, strict=True)
    (width, height), most = sizes.most_common(1)[0]
    return (
        f"width {min(widths)} to {max(widths)}, height {min(heights)} to {max(heights)}, "
        f"most often {width} x {height} ({most:,})"
    )


def _cache(found: Inspection) -> str:
    size = f"{found.decoded_bytes / 2**20:,.1f} MiB decoded"
    if found.cache is None:
        return f"none: {size} exceed data.cache_gib"
    if found.cache_bytes is None:
        return f"{found.cache} (not yet built; {size})"
    return f"{found.cache} ({found.cache_bytes / 2**20:,.1f} MiB)"


def _class_lines(classes: dict[str, tuple[int, int]]) -> list[str]:
    shown = list(classes.items())[:_CLASSES_SHOWN]
    width = max(len(name) for name, _ in shown)
    lines = [f"  {name:<{width}}  {train:>9,} {val:>9,}" for name, (train, val) in shown]
    if len(classes) > _CLASSES_SHOWN:
        lines.append(f"  ... and {len(classes) - _CLASSES_SHOWN:,} more")
    return lines
