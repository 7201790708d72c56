"""The stored images of one split, still encoded: read in order or by number."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np

from vitladder.data.digests import file_sha256, lines_sha256
from vitladder.data.draws import IntArray
from vitladder.data.hub import arrow_copy
from vitladder.data.parquet import ParquetRows, encoded
from vitladder.data.pixels import Raw
from vitladder.errors import UserError

WHOLE: Final = 2**30
"""Up to so many bytes, source files are known by their content; above, by names and sizes."""

_CHUNK = 256


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

    def scan(self, indices: IntArray) -> Iterator[Raw]:
        """Yield grey values uint8 [8, 8]."""
        yield from self._loaded[0][indices]

    def read(self, indices: IntArray) -> list[Raw]:
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

    def scan(self, indices: IntArray) -> Iterator[Raw]:
        """Yield the bytes of each file."""
        return (self._bytes(int(index)) for index in indices)

    def read(self, indices: IntArray) -> list[Raw]:
        """Return the bytes of each file."""
        return list(self.scan(indices))

    def where(self, index: int) -> str:
        """Return the file's name below the root."""
        return self.names[index]

    def size(self) -> int:
        """Return the bytes of all files."""
        return sum((self.root / name).stat().st_size for name in self.names)

    def changed(self) -> int:
        """Return when the newest file was written, in nanoseconds."""
        return max(((self.root / name).stat().st_mtime_ns for name in self.names), default=0)

    def content(self) -> str:
        """Return the sha256 over names and the sha256 of each file."""
        return lines_sha256(*(f"{name} {file_sha256(self.root / name)}" for name in self.names))

    def listing(self) -> str:
        """Return the sha256 over names and sizes."""
        return lines_sha256(*(f"{name} {(self.root / name).stat().st_size}" for name in self.names))

    def _bytes(self, index: int) -> bytes:
        try:
            return (self.root / self.names[index]).read_bytes()
        except OSError as problem:
            raise UserError(
                f"{self.names[index]}: cannot be read ({problem.strerror})"
            ) from problem


class TableRows:
    """Rows of a map-style Hugging Face Dataset whose image column is not decoded."""

    def __init__(
        self,
        table: Any,
        column: str,
        where: Callable[[int], str],
        read_value: Callable[[Any, str], bytes] = encoded,
    ) -> None:
        self._table = table
        self._column = column
        self._where = where
        self._read_value = read_value

    def __len__(self) -> int:
        return len(self._table)

    def scan(self, indices: IntArray) -> Iterator[Raw]:
        """Yield encoded images, a few hundred rows in memory at a time."""
        for start in range(0, indices.size, _CHUNK):
            yield from self.read(indices[start : start + _CHUNK])

    def read(self, indices: IntArray) -> list[Raw]:
        """Return encoded images."""
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
            digest.update(hashlib.sha256(bytes(image)).digest())
        return digest.hexdigest()

    def listing(self) -> str:
        """Return the sha256 over rows and folders, which Hugging Face names by the revision."""
        return lines_sha256(str(len(self)), *(file.parent.name for file in self._files()))

    def _files(self) -> list[Path]:
        return [Path(file["filename"]) for file in self._table.cache_files]


NumberedRows = DigitRows | FileRows | TableRows
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
    table = arrow_copy(rows.files, rows.column, folder / "arrow" / version(rows)[:16])
    return TableRows(table, rows.column, rows.where)
