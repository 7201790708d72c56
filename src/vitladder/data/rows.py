"""The stored images of one split, still encoded: read in order or by number."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from vitladder.data.copies import CopiedRows, copied
from vitladder.data.digests import file_sha256, lines_sha256, regular_file
from vitladder.data.draws import IntArray
from vitladder.data.faults import Unreadable
from vitladder.data.one_line import shown
from vitladder.data.parquet import ParquetRows, readable
from vitladder.data.pixels import Stored

WHOLE: Final = 2**30
"""Up to so many bytes, source files are known by their content; above, by names and sizes."""

_CHUNK = 256


class Row(NamedTuple):
    """A stored image, its name for messages, its class number, and its number in its part."""

    raw: Stored
    name: str
    label: int
    number: int


class DigitRows:
    """The 1,797 8×8 handwritten digits of scikit-learn, loaded when they are first looked at."""

    CLASS_COUNTS = (178, 182, 177, 183, 181, 182, 181, 179, 174, 180)
    SIZE = 8

    def __len__(self) -> int:
        return sum(self.CLASS_COUNTS)

    @cached_property
    def _loaded(self) -> tuple[np.ndarray[Any, Any], IntArray]:
        from sklearn.datasets import load_digits

        digits = load_digits()
        pixels = np.rint(digits.images * (255 / 16)).astype(np.uint8)
        return pixels, digits.target.astype(np.int64)

    @property
    def labels(self) -> IntArray:
        """The digit that each image shows, int64 [1797]."""
        return self._loaded[1]

    def scan(self, indices: IntArray) -> Iterator[Stored]:
        """Yield grey values uint8 [8, 8]."""
        yield from self._loaded[0][indices]

    def read(self, indices: IntArray) -> list[Stored]:
        """Return grey values uint8 [8, 8]."""
        return list(self._loaded[0][indices])

    def where(self, index: int) -> str:
        """Return the name of one digit."""
        return f"digits row {index}"

    def size(self) -> int:
        """Return 0: no file of the user's is read."""
        return 0

    def changed(self) -> int:
        """Return 0: this data set never changes."""
        return 0

    def content(self) -> str:
        """Return a constant."""
        return lines_sha256("scikit-learn load_digits: 1797 images of 8 x 8, values times 255/16")

    def listing(self) -> str:
        """Return the same constant."""
        return self.content()


@dataclass(frozen=True)
class FileRows:
    """One image file a row, named relative to `root`."""

    root: Path
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.names)

    def scan(self, indices: IntArray) -> Iterator[Stored]:
        """Yield the bytes of each file, or why it cannot be read."""
        return (self._bytes(int(index)) for index in indices)

    def read(self, indices: IntArray) -> list[Stored]:
        """Return the bytes of each file, or why it cannot be read."""
        return list(self.scan(indices))

    def where(self, index: int) -> str:
        """Return the file's name below the root."""
        return shown(self.names[index])

    def size(self) -> int:
        """Return the bytes of all files."""
        return sum(size for size, _ in self._states)

    def changed(self) -> int:
        """Return when the newest file was written, in nanoseconds."""
        return max((time for _, time in self._states), default=0)

    def content(self) -> str:
        """Return the sha256 over names and the sha256 of each file."""
        return lines_sha256(*(f"{name} {self._sha256(name)}" for name in self.names))

    def listing(self) -> str:
        """Return the sha256 over names and sizes."""
        sizes = (size for size, _ in self._states)
        return lines_sha256(*(f"{name} {n}" for name, n in zip(self.names, sizes, strict=True)))

    @property
    def _states(self) -> Iterator[tuple[int, int]]:
        """Size and time of each file; of one that is gone, nothing."""
        for name in self.names:
            try:
                state = (self.root / name).stat()
                yield state.st_size, state.st_mtime_ns
            except OSError:
                yield 0, 0

    def _sha256(self, name: str) -> str:
        """Return the digest of a file; one that cannot be read is another data set when it can."""
        try:
            return file_sha256(self.root / name)
        except OSError:
            return "unreadable"

    def _bytes(self, index: int) -> Stored:
        try:
            return regular_file(self.root / self.names[index]).read_bytes()
        except OSError as problem:
            return Unreadable(self.where(index), f"cannot be read ({problem.strerror})")


class TableRows:
    """Rows of a map-style Hugging Face Dataset whose image column is not decoded."""

    def __init__(
        self,
        table: Any,
        column: str,
        where: Callable[[int], str],
        read_value: Callable[[Any, str], Stored],
    ) -> None:
        self._table = table
        self._column = column
        self._where = where
        self._read_value = read_value

    def __len__(self) -> int:
        return len(self._table)

    def scan(self, indices: IntArray) -> Iterator[Stored]:
        """Yield encoded images, a few hundred rows in memory at a time."""
        for start in range(0, indices.size, _CHUNK):
            yield from self.read(indices[start : start + _CHUNK])

    def read(self, indices: IntArray) -> list[Stored]:
        """Return encoded images, or why there are none."""
        with readable(f"the prepared table of {self.where(int(indices[0]))}"):
            values: Sequence[Any] = self._table[indices][self._column]
        return [
            self._read_value(value, self.where(int(index)))
            for index, value in zip(indices, values, strict=True)
        ]

    def where(self, index: int) -> str:
        """Return the name of one row."""
        return self._where(index)

    def size(self) -> int:
        """Return the bytes that were downloaded and those of the prepared table."""
        return (self._table.info.download_size or 0) + sum(
            file.stat().st_size for file in self._files()
        )

    def changed(self) -> int:
        """Return when the newest file of the prepared table was written, in nanoseconds."""
        return max((file.stat().st_mtime_ns for file in self._files()), default=0)

    def content(self) -> str:
        """Return the sha256 over all encoded images and the other columns."""
        digest = hashlib.sha256(repr(self._table.remove_columns(self._column)[:]).encode())
        for image in self.scan(np.arange(len(self))):
            known = str(image).encode() if isinstance(image, Unreadable) else bytes(image)
            digest.update(hashlib.sha256(known).digest())
        return digest.hexdigest()

    def listing(self) -> str:
        """Return the sha256 over rows and folders, which Hugging Face names by the revision."""
        return lines_sha256(str(len(self)), *(file.parent.name for file in self._files()))

    def _files(self) -> list[Path]:
        return [Path(file["filename"]) for file in self._table.cache_files]


NumberedRows = DigitRows | FileRows | TableRows | CopiedRows
"""Rows with a fast `read(indices)`, in any order."""

ImageRows = NumberedRows | ParquetRows
"""Rows with `scan(ascending indices)`, `where(index)`, and what tells them from others."""


def version(rows: ImageRows) -> str:
    """Return what names a copy of these rows on this disk: another one when they may differ."""
    if rows.size() <= WHOLE:
        return rows.content()
    return lines_sha256(rows.listing(), str(rows.changed()))


def by_number(rows: ImageRows, folder: Path) -> NumberedRows:
    """Return the same rows with a fast `read`.

    Parquet files are copied once into folder/arrow, which is memory-mapped.
    """
    if not isinstance(rows, ParquetRows):
        return rows
    return copied(rows, folder / "arrow" / version(rows)[:16])
