"""Streams: images in one fixed order, epoch after epoch, for what shall not be indexed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count as numbers_from
from pathlib import Path
from typing import Any

from vitladder.config import DataConfig
from vitladder.data.catalog import read_catalog
from vitladder.data.columns import class_names, find_columns
from vitladder.data.draws import permutation
from vitladder.data.hub import load, parquet_stream
from vitladder.data.pixels import Raw
from vitladder.data.rows import ParquetRows, encoded
from vitladder.data.sources import Part, fingerprint, read_source
from vitladder.data.splits import choose
from vitladder.errors import UserError

Row = tuple[Raw, str, int]
"""An encoded image, its name for messages, and its class number."""


@dataclass(frozen=True)
class Stream:
    """How many images a split holds, and how they are read from any start on."""

    count: int
    read: Callable[[int], Iterator[Row]]


@dataclass(frozen=True)
class Streams:
    """Training and held-out images as streams."""

    train: Stream
    val: Stream
    classes: tuple[str, ...]
    fingerprint: str
    notes: tuple[str, ...]


def open_streams(config: DataConfig, folder: Path) -> Streams:
    """Return both splits as streams; lock files of Hugging Face `datasets` go into `folder`.

    Raises UserError where no held-out split is stored, or a hub tells no counts or classes.
    """
    return _hub_streams(config) if config.name == "hub" else _local_streams(config, folder)


def _local_streams(config: DataConfig, folder: Path) -> Streams:
    catalog = read_catalog(config)
    source = read_source(catalog, config)
    return Streams(
        train=Stream(len(source.train), _local_reader(source.train, folder)),
        val=Stream(len(source.val), _local_reader(source.val, folder)),
        classes=source.classes,
        fingerprint=fingerprint(catalog, config, whole=False),
        notes=(*source.notes, _order_note(source.train)),
    )


def _order_note(part: Part) -> str:
    if isinstance(part.rows, ParquetRows):
        return "streaming: every epoch comes in stored order, unshuffled"
    return "streaming: every epoch reads the files in the same shuffled order"


def _local_reader(part: Part, folder: Path) -> Callable[[int], Iterator[Row]]:
    rows = part.rows
    if isinstance(rows, ParquetRows):
        return lambda start: _read_parquet(rows, part, folder, start)
    order = permutation(0, 0, len(part))
    return lambda start: (
        (raw, rows.where(int(row)), int(part.labels[row]))
        for row, raw in zip(order[start:], rows.scan(order[start:]), strict=True)
    )


def _read_parquet(rows: ParquetRows, part: Part, folder: Path, start: int) -> Iterator[Row]:
    stream = parquet_stream(rows.files, rows.column, folder)
    for number, row in zip(range(start, len(part)), stream.skip(start), strict=True):
        name = rows.where(number)
        yield encoded(row[rows.column], name, Path()), name, int(part.labels[number])


def _hub_streams(config: DataConfig) -> Streams:
    where = str(config.path)
    tables: dict[str, Any] = load(config)
    train, val = choose(list(tables), config, where)
    features = tables[train].features
    if features is None:
        raise UserError(f"{where} does not tell its columns; leave data.streaming=false")
    schema = features.arrow_schema
    image, label = find_columns(schema, where, config.image_column, config.label_column)
    classes = class_names(schema, label)
    if classes is None:
        raise UserError(
            f"{where}: column '{label}' names no classes, so a stream cannot be numbered; "
            f"leave data.streaming=false"
        )
    parts = [
        Stream(
            _told_count(tables[split], split, where),
            _hub_reader(tables[split], image, label, f"{where} {split}", len(classes)),
        )
        for split in (train, str(val))
    ]
    seen = f"{where} {features} {[part.count for part in parts]}"
    return Streams(
        train=parts[0],
        val=parts[1],
        classes=classes,
        fingerprint=hashlib.sha256(seen.encode()).hexdigest(),
        notes=(
            f"held out: the split '{val}'",
            "streaming: every epoch comes in stored order, unshuffled",
        ),
    )


def _told_count(table: Any, split: str, where: str) -> int:
    told = (table.info.splits or {}).get(split)
    if told is None or not told.num_examples:
        raise UserError(
            f"{where} does not tell how many images its split '{split}' holds; "
            f"leave data.streaming=false"
        )
    return int(told.num_examples)


def _hub_reader(
    table: Any, image: str, label: str, where: str, classes: int
) -> Callable[[int], Iterator[Row]]:
    def read(start: int) -> Iterator[Row]:
        for number, row in zip(numbers_from(start), table.skip(start), strict=False):
            name = f"{where} row {number}"
            if row[label] is None or not 0 <= row[label] < classes:
                raise UserError(f"{name} has label {row[label]}, outside the {classes} classes")
            yield encoded(row[image], name, Path()), name, int(row[label])

    return read
