"""What the headers of some images say about all: the usual size, grey or colour, differences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from vitladder.data.faults import Unreadable
from vitladder.data.order import evenly_spaced
from vitladder.data.pixels import Header, header, surely_grey
from vitladder.data.rows import Row
from vitladder.data.skipped import Skipped, SkippedImages
from vitladder.data.sources import Part, Source
from vitladder.errors import UserError


@dataclass(frozen=True)
class Headers:
    """How many images have each header."""

    counts: Counter[Header]

    @property
    def image_size(self) -> int:
        """The side of the square that most images become."""
        sides: Counter[int] = Counter()
        for seen, count in self.counts.items():
            sides[seen.size] += count
        return sides.most_common(1)[0][0]

    @property
    def channels(self) -> int:
        """3 when any image has colours, else 1."""
        return max(seen.channels for seen in self.counts)

    @property
    def sizes(self) -> Counter[tuple[int, int]]:
        """How many images have each (width, height)."""
        found: Counter[tuple[int, int]] = Counter()
        for seen, count in self.counts.items():
            found[seen.width, seen.height] += count
        return found

    @property
    def modes(self) -> Counter[str]:
        """How many images have each mode of Pillow."""
        found: Counter[str] = Counter()
        for seen, count in self.counts.items():
            found[seen.mode] += count
        return found

    def differences(self) -> tuple[str, ...]:
        """Return a sentence when sizes differ, and one when modes differ."""
        notes = []
        total = self.counts.total()
        if len(self.sizes) > 1:
            small, large = min(self.sizes, key=min), max(self.sizes, key=max)
            notes.append(
                "images are of several sizes ({} x {} to {} x {}): each is resized to its shorter "
                "side and cropped in the centre".format(*small, *large)
            )
        if len(self.modes) > 1:
            modes = ", ".join(f"{mode} {count}" for mode, count in self.modes.most_common())
            notes.append(f"images are of several modes ({modes} of {total} looked at)")
        return tuple(notes)


def with_late_colour(seen: Headers, source: Source, skipped: SkippedImages) -> Headers:
    """Return the headers, and where all are grey also that of the first image with colours.

    For that all images of both parts are read, and not decoded.
    """
    if seen.channels == 3:
        return seen
    for part, those in ((source.train, skipped.train), (source.val, skipped.val)):
        for row in part.scan(np.arange(len(part))):
            found = None if surely_grey(row.raw) else _header(row, those)
            if found is not None and found.channels == 3:
                return Headers(seen.counts + Counter([found]))
    return seen


def read_headers(rows: Iterable[Row], skipped: Skipped) -> Headers:
    """Return the headers of images; raises UserError where none of them has one."""
    found = (_header(row, skipped) for row in rows)
    headers = Headers(Counter(seen for seen in found if seen is not None))
    if not headers.counts:
        first = skipped.first[0] if skipped.first else "there is none"
        raise UserError(f"no image that was looked at can be read: {first}; mend the data set")
    return headers


def _header(row: Row, skipped: Skipped) -> Header | None:
    """Return the header of an image, None for one that is skipped."""
    try:
        return header(row.raw, row.name)
    except Unreadable as fault:
        skipped.add(row.number, fault)
        return None


def part_headers(part: Part, most: int, skipped: Skipped) -> Headers:
    """Return the headers of at most `most` images, evenly spaced over the stored order."""
    return read_headers(part.scan(evenly_spaced(len(part), most)), skipped)
