"""What the headers of some images say about all: the usual size, grey or colour, differences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from vitladder.data.order import evenly_spaced
from vitladder.data.pixels import Header, Raw, header, surely_grey
from vitladder.data.sources import Part


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


def with_late_colour(seen: Headers, parts: Sequence[Part]) -> Headers:
    """Return the headers, and where all are grey also that of the first image with colours.

    For that all images of the parts are read, and not decoded.
    """
    if seen.channels == 3:
        return seen
    for part in parts:
        names = (part.rows.where(int(row)) for row in part.indices)
        for raw, name in zip(part.rows.scan(part.indices), names, strict=True):
            found = None if surely_grey(raw) else header(raw, name)
            if found is not None and found.channels == 3:
                return Headers(seen.counts + Counter([found]))
    return seen


def read_headers(named: Iterable[tuple[Raw, str]]) -> Headers:
    """Return the headers of images, each with its name; raises UserError for one that has none."""
    return Headers(Counter(header(raw, name) for raw, name in named))


def part_headers(part: Part, most: int) -> Headers:
    """Return the headers of at most `most` images, evenly spaced over the stored order."""
    rows = part.indices[evenly_spaced(len(part), most)]
    names = [part.rows.where(int(row)) for row in rows]
    return read_headers(zip(part.rows.scan(rows), names, strict=True))
