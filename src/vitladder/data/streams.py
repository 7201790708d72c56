"""Streams: images in one fixed order, epoch after epoch, for what shall not be indexed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from itertools import count as numbers_from
from typing import Any, Final

import numpy as np

from vitladder.config import DataConfig
from vitladder.data.catalog import read_catalog
from vitladder.data.columns import class_names, find_columns
from vitladder.data.draws import permutation
from vitladder.data.hub import file_bytes, load
from vitladder.data.one_line import first_line
from vitladder.data.order import evenly_spaced
from vitladder.data.parquet import ParquetRows
from vitladder.data.rows import Row
from vitladder.data.sources import Part, fingerprint, read_source
from vitladder.data.splits import choose
from vitladder.errors import UserError


@dataclass(frozen=True)
class Stream:
    """How many images a split holds, how they are read from any start on, and some of them.

    `sample(most)` gives images evenly spaced over the stored order, of a hub the first ones;
    `following(number)` gives the others in stored order, from the one after that on.
    """

    count: int
    read: Callable[[int], Iterator[Row]]
    sample: Callable[[int], Iterator[Row]]
    following: Callable[[int], Iterator[Row]]


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
        read=lambda start: part.scan(order[start:]),
        sample=lambda most: part.scan(evenly_spaced(len(part), most)),
        following=part.following,
    )


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
        parts.append(Stream(count, read, partial(_first, read), partial(_around, read)))
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
        for number, row in zip(numbers_from(start), _told(table.skip(start), where), strict=False):
            name = f"{where} row {number}"
            if row[label] is None or not 0 <= row[label] < classes:
                raise UserError(
                    f"{name} has label {row[label]}, outside the {classes} classes; mend it, or "
                    f"choose a split with labels"
                )
            yield Row(file_bytes(row[image], name), name, int(row[label]), number)

    return read


def _told(rows: Iterable[Any], where: str) -> Iterator[Any]:
    """Yield the rows; raises UserError where Hugging Face cannot go on."""
    try:
        yield from rows
    except Exception as problem:  # a hub can fail in any way
        raise UserError(
            f"{where} cannot be read to its end by Hugging Face datasets ({first_line(problem)}); "
            f"mend it, or leave data.streaming=false"
        ) from problem


def _first(read: Callable[[int], Iterator[Row]], most: int) -> Iterator[Row]:
    return islice(read(0), most)


def _around(read: Callable[[int], Iterator[Row]], number: int) -> Iterator[Row]:
    return chain(read(number + 1), islice(read(0), number))
