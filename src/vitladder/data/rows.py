"""The stored images of one split, still encoded: read in order or by number."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from vitladder.data.draws import IntArray
from vitladder.data.hub import arrow_copy
from vitladder.data.pixels import Raw
from vitladder.errors import UserError

_CHUNK = 256
_FOOTER = 2**16


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

    def content(self) -> str:
        """Return a constant: this data set never changes."""
        return _sha256("scikit-learn load_digits: 1797 images of 8 x 8, values times 255/16")

    def listing(self) -> str:
        """Return the same constant."""
        return self.content()


@dataclass(frozen=True)
class ParquetRows:
    """Rows of parquet files whose image column holds encoded files; `names` are for messages."""

    files: tuple[Path, ...]
    names: tuple[str, ...]
    counts: tuple[int, ...]
    column: str

    def __len__(self) -> int:
        return sum(self.counts)

    def scan(self, indices: IntArray) -> Iterator[Raw]:
        """Yield encoded images, a few hundred rows in memory at a time."""
        first = 0
        for file, count in zip(self.files, self.counts, strict=True):
            wanted = indices[(indices >= first) & (indices < first + count)] - first
            if wanted.size:
                yield from self._scan_file(file, wanted, first)
            first += count

    def _scan_file(self, file: Path, wanted: IntArray, first: int) -> Iterator[Raw]:
        start = 0
        with pq.ParquetFile(file) as table:
            for batch in table.iter_batches(_CHUNK, columns=[self.column]):
                low, high = np.searchsorted(wanted, (start, start + batch.num_rows))
                here = wanted[low:high]
                values = batch.column(0).take(pa.array(here - start)).to_pylist()
                for row, value in zip(here, values, strict=True):
                    yield encoded(value, self.where(first + int(row)), file.parent)
                start += batch.num_rows
                if high == wanted.size:
                    return

    def where(self, index: int) -> str:
        """Return the file and its row, e.g. `train.parquet row 17`."""
        for name, count in zip(self.names, self.counts, strict=True):
            if index < count:
                return f"{name} row {index}"
            index -= count
        raise IndexError(index)

    def content(self) -> str:
        """Return the sha256 over the sha256 of each file."""
        return _sha256(*(file_sha256(file) for file in self.files))

    def listing(self) -> str:
        """Return the sha256 over sizes and footers, which hold offsets and statistics."""
        return _sha256(*(f"{file.stat().st_size} {_end_sha256(file)}" for file in self.files))


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

    def content(self) -> str:
        """Return the sha256 over names and the sha256 of each file."""
        return _sha256(*(f"{name} {file_sha256(self.root / name)}" for name in self.names))

    def listing(self) -> str:
        """Return the sha256 over names and sizes."""
        return _sha256(*(f"{name} {(self.root / name).stat().st_size}" for name in self.names))

    def _bytes(self, index: int) -> bytes:
        try:
            return (self.root / self.names[index]).read_bytes()
        except OSError as problem:
            raise UserError(
                f"{self.names[index]}: cannot be read ({problem.strerror})"
            ) from problem


class TableRows:
    """Rows of a map-style Hugging Face Dataset whose image column is not decoded."""

    def __init__(self, table: Any, column: str, where: Callable[[int], str], listing: str) -> None:
        self._table = table
        self._column = column
        self._where = where
        self._listing = listing

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
            encoded(value, self.where(int(index)), Path())
            for index, value in zip(indices, values, strict=True)
        ]

    def where(self, index: int) -> str:
        """Return the name of one row."""
        return self._where(index)

    def content(self) -> str:
        """Return the sha256 over all encoded images and the other columns."""
        digest = hashlib.sha256(repr(self._table.remove_columns(self._column)[:]).encode())
        for image in self.scan(np.arange(len(self))):
            digest.update(hashlib.sha256(bytes(image)).digest())
        return digest.hexdigest()

    def listing(self) -> str:
        """Return what names the table."""
        return self._listing


NumberedRows = DigitRows | FileRows | TableRows
"""Rows with a fast `read(indices)`, in any order."""

ImageRows = NumberedRows | ParquetRows
"""Rows with `scan(ascending indices)`, `where(index)`, `content()` and `listing()`."""


def by_number(rows: ImageRows, folder: Path) -> NumberedRows:
    """Return the same rows with a fast `read`.

    Parquet files are copied once into folder/arrow, which is memory-mapped.
    """
    if not isinstance(rows, ParquetRows):
        return rows
    table = arrow_copy(rows.files, rows.column, folder)
    return TableRows(table, rows.column, rows.where, rows.listing())


def encoded(value: Any, where: str, folder: Path) -> bytes:
    """Return the file bytes in a stored value: bytes, or {bytes, path} with either one given."""
    if isinstance(value, dict):
        path = value.get("path")
        value = value.get("bytes")
        if value is None and path:
            try:
                return (folder / str(path)).read_bytes()
            except OSError as problem:
                raise UserError(f"{where}: {path} cannot be read ({problem.strerror})") from problem
    if isinstance(value, bytes):
        return value
    raise UserError(f"{where}: holds no image; every row needs one")


def file_sha256(file: Path) -> str:
    """Return the sha256 of a file's bytes, read once per process while it does not change."""
    state = file.stat()
    version = (str(file.resolve()), state.st_size, state.st_mtime_ns)
    if version not in _hashed:
        with file.open("rb") as stream:
            _hashed[version] = hashlib.file_digest(stream, "sha256").hexdigest()
    return _hashed[version]


_hashed: dict[tuple[str, int, int], str] = {}


def _end_sha256(file: Path) -> str:
    with file.open("rb") as stream:
        stream.seek(max(0, file.stat().st_size - _FOOTER))
        return hashlib.sha256(stream.read()).hexdigest()


def _sha256(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
