"""One source as its training and its held-out images, still encoded, with their class numbers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

import numpy as np

from vitladder.config import DataConfig
from vitladder.data.catalog import Catalog
from vitladder.data.columns import encode
from vitladder.data.draws import IntArray
from vitladder.data.one_line import shown
from vitladder.data.rows import WHOLE, ImageRows, Row
from vitladder.data.splits import hold_out, hold_out_note
from vitladder.errors import UserError


@dataclass(frozen=True)
class Part:
    """The training or the held-out images: rows of a store, ascending, and their classes."""

    rows: ImageRows
    indices: IntArray
    labels: IntArray

    def __len__(self) -> int:
        return int(self.indices.size)

    def scan(self, numbers: IntArray) -> Iterator[Row]:
        """Yield these rows of the part; of parquet files the numbers must ascend."""
        rows = self.indices[numbers]
        stored = self.rows.scan(rows)
        for number, row, raw in zip(numbers, rows, stored, strict=True):
            yield Row(raw, self.rows.where(int(row)), int(self.labels[number]), int(number))

    def following(self, number: int) -> Iterator[Row]:
        """Yield the other rows in stored order, from the next one on and around the end."""
        after, before = np.arange(number + 1, len(self)), np.arange(number)
        return chain(self.scan(after), self.scan(before))


@dataclass(frozen=True)
class Source:
    """Training and held-out images with the names of their classes."""

    train: Part
    val: Part
    classes: tuple[str, ...]
    notes: tuple[str, ...]


def read_source(catalog: Catalog, config: DataConfig) -> Source:
    """Return both parts, reading the label columns and no image.

    Raises UserError for an unknown split, an empty one, rows without labels, or one class only.
    """
    splits, train = catalog.used, catalog.train
    for split in splits:
        if not len(catalog.rows[split]):
            raise UserError(
                f"{catalog.where} has no rows in its split '{split}'; choose another with "
                f"data.{'train' if split == train else 'val'}_split=..., or fill it"
            )
    numbers, classes = encode(
        [catalog.labels[split]() for split in splits],
        catalog.class_names,
        lambda i, row: catalog.rows[splits[i]].where(row),
    )
    present = np.unique(numbers[0])
    if present.size < 2:
        raise UserError(
            f"{catalog.where} has one class only ('{shown(classes[present[0]])}') in its split "
            f"'{train}'; a classifier needs at least two"
        )
    if catalog.val is None:
        return _with_held_out(catalog.rows[train], numbers[0], classes, train, config)
    parts = [
        Part(catalog.rows[split], np.arange(labels.size), labels)
        for split, labels in zip(splits, numbers, strict=True)
    ]
    return Source(parts[0], parts[1], classes, (f"held out: the split '{catalog.val}'",))


def _with_held_out(
    rows: ImageRows, labels: IntArray, classes: tuple[str, ...], train: str, config: DataConfig
) -> Source:
    kept, held = hold_out(labels, config.val_fraction)
    if not held.size:
        raise UserError(
            f"no class of the split '{train}' has two images, so none can be held out; name a "
            f"split for that with data.val_split=..., or add images"
        )
    notes = [hold_out_note(train, config.val_fraction)]
    single = int(np.sum(np.bincount(labels) == 1))
    if single:
        notes.append(f"{single} classes with one image are in training only")
    return Source(
        Part(rows, kept, labels[kept]), Part(rows, held, labels[held]), classes, tuple(notes)
    )


def fingerprint(catalog: Catalog, config: DataConfig) -> str:
    """Return the sha256 of what training will see: stored images, columns, splits, hold-out.

    It depends neither on where the data lies nor on how it is cached. Up to 1 GiB of files are
    known by all their bytes, more by names and sizes (and parquet footers).
    """
    rows = {split: catalog.rows[split] for split in catalog.used}
    whole = known_whole(catalog)
    seen = {
        "rows": {
            split: found.content() if whole else found.listing() for split, found in rows.items()
        },
        "whole": whole,
        "columns": catalog.columns,
        "classes": catalog.class_names,
        "train": catalog.train,
        "val": catalog.val,
        "val_fraction": config.val_fraction if catalog.val is None else None,
    }
    return hashlib.sha256(json.dumps(seen, sort_keys=True).encode()).hexdigest()


def known_whole(catalog: Catalog) -> bool:
    """Return whether the source files are so few bytes that the fingerprint is of all of them."""
    return sum(catalog.rows[split].size() for split in catalog.used) <= WHOLE
