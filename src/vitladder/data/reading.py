"""Rows become pixels and labels; what stands for an image that cannot be read is decided here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from vitladder.data.decoder import Decoder
from vitladder.data.draws import IntArray
from vitladder.data.pixels import Pixels
from vitladder.data.rows import Row
from vitladder.data.skipped import Skipped
from vitladder.errors import UserError

Chunk = tuple[Pixels, IntArray]
"""Pixels uint8 [B, C, H, W] and class numbers int64 [B]."""

Read = Callable[[Sequence[Row]], Chunk]
"""Turns rows into as many images and class numbers."""

NOT_COUNTED: Final = -100
"""The label of an image that no measure counts: cross-entropy leaves it out too."""


@dataclass(frozen=True)
class Filled:
    """Training: in the place of an image that cannot be read stands the next one that can.

    That is the next in stored order, the first one after the last, with its own label: which image
    stands where depends on the data alone. `following` gives the rows from the next one on.
    """

    decoder: Decoder
    following: Callable[[int], Iterable[Row]]
    skipped: Skipped

    def __call__(self, rows: Sequence[Row]) -> Chunk:
        """Return images and labels of the rows, or raise as `Skipped.add` does."""
        pixels, faults = self.decoder(rows)
        labels = _labels(rows)
        for place, fault in faults.items():
            self.skipped.add(rows[place].number, fault)
            pixels[place], labels[place] = self._next(rows[place].number)
        return pixels, labels

    def _next(self, number: int) -> tuple[Pixels, int]:
        for row in self.following(number):
            pixels, faults = self.decoder([row])
            if not faults:
                return pixels[0], row.label
            self.skipped.add(row.number, faults[0])
        raise UserError("no training image can be read; mend the data set")


@dataclass(frozen=True)
class LeftOut:
    """Held out: an image that cannot be read is black, and no measure counts it."""

    decoder: Decoder
    skipped: Skipped

    def __call__(self, rows: Sequence[Row]) -> Chunk:
        """Return images and labels of the rows, or raise as `Skipped.add` does."""
        pixels, faults = self.decoder(rows)
        labels = _labels(rows)
        for place, fault in faults.items():
            self.skipped.add(rows[place].number, fault)
            labels[place] = NOT_COUNTED
        return pixels, labels


def stand_ins(count: int, unreadable: Sequence[int]) -> IntArray:
    """Return which image stands in each place: its own, or the next readable one as in `Filled`."""
    readable = np.ones(count, dtype=bool)
    readable[np.array(unreadable, dtype=np.int64)] = False
    left = np.flatnonzero(readable)
    return left[np.searchsorted(left, np.arange(count)) % left.size]


def _labels(rows: Sequence[Row]) -> IntArray:
    return np.array([row.label for row in rows], dtype=np.int64)
