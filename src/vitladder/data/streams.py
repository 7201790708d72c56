"""Streams: images in one fixed order, epoch after epoch, for what shall not be indexed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import count as numbers_from
from itertools import islice
from typing import Any, Final

import numpy as np

from vitladder.config import DataConfig
from vitladder.data.catalog import read_catalog
from vitladder.data.columns import class_names, find_columns
from vitladder.data.draws import IntArray, permutation
from vitladder.data.hub import file_bytes, load
from vitladder.data.order import evenly_spaced
from vitladder.data.parquet import ParquetRows
from vitladder.data.pixels import Raw
from vitladder.data.sources import Part, fingerprint, read_source
from vitladder.data.splits import choose
from vitladder.errors import UserError

Row = tuple[Raw, str, int]
"""An encoded image, its name for messages, and its class number."""


@dataclass(frozen=True)
class Stream:
    """How many images a split holds, how they are read from any start on, and some of them.

    `sample(most)` gives images evenly spaced over the stored order, of a hub the first ones.
    """

    count: int
    read: Callable[[int], Iterator[Row]]
    sample: Callable[[int], Iterator[Row]]


@dataclass(frozen=True)
class Streams:
    """Training and held-out images as streams."""

    train: Stream
    val: Stream
    classes: tuple[str, ...]
    fingerprint: str
    notes: tuple[str, ...]


def open_streams(config: DataConfig) -> Streams:
    """Return both splits as streams.

    Raises UserError where no held-out split is stored, or a hub tells no counts or classes.
    """
    return _hub_streams(config) if config.name == "hub" else _local_streams(config)


def _local_streams(config: DataConfig) -> Streams:
    catalog = read_catalog(config)
    source = read_source(catalog, config)
    stored = isinstance(source.train.rows, ParquetRows)
    return Streams(
        train=_local_stream(source.train),
        val=_local_stream(source.val),
        classes=source.classes,
        fingerprint=fingerprint(catalog, config),
        notes=(*source.notes, _STORED_ORDER if stored else _FILE_ORDER),
    )


_STORED_ORDER: Final = "streaming: every epoch comes in stored order, unshuffled"
_FILE_ORDER: Final = "streaming: every epoch reads the files in the same shuffled order"


def _local_stream(part: Part) -> Stream:
    """Return parquet files in stored order, single files in one shuffled order."""
    stored = isinstance(part.rows, ParquetRows)
    order = np.arange(len(part)) if stored else permutation(0, 0, len(part))
    return Stream(
        count=len(part),
        read=lambda start: _rows(part, order[start:]),
        sample=lambda most: _rows(part, evenly_spaced(len(part), most)),
    )


def _rows(part: Part, chosen: IntArray) -> Iterator[Row]:
    rows = part.indices[chosen]
    for row, label, raw in zip(rows, part.labels[chosen], part.rows.scan(rows), strict=True):
        yield raw, part.rows.where(int(row)), int(label)


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
    parts = []
    for split in (train, str(val)):
        count = _told_count(tables[split], split, where)
        read = _hub_reader(tables[split], image, label, f"{where} {split}", len(classes))
        parts.append(Stream(count, read, sample=partial(_first, read)))
    seen = f"{where} {features} {[part.count for part in parts]}"
    return Streams(
        train=parts[0],
        val=parts[1],
        classes=classes,
        fingerprint=hashlib.sha256(seen.encode()).hexdigest(),
        notes=(
            f"held out: the split '{val}'",
            _STORED_ORDER,
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
            yield file_bytes(row[image], name), name, int(row[label])

    return read


def _first(read: Callable[[int], Iterator[Row]], most: int) -> Iterator[Row]:
    return islice(read(0), most)
