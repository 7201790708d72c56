"""Images in parquet files: read in order, a few hundred rows in memory at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from vitladder.data.columns import plain_labels
from vitladder.data.digests import end_sha256, file_sha256, lines_sha256
from vitladder.data.draws import IntArray
from vitladder.data.faults import Unreadable
from vitladder.data.one_line import first_line
from vitladder.data.pixels import Stored
from vitladder.errors import UserError

_CHUNK = 256


@dataclass(frozen=True)
class ParquetRows:
    """Rows of parquet files whose image column holds encoded files; `names` are for messages."""

    files: tuple[Path, ...]
    names: tuple[str, ...]
    counts: tuple[int, ...]
    column: str

    def __len__(self) -> int:
        return sum(self.counts)

    def scan(self, indices: IntArray) -> Iterator[Stored]:
        """Yield encoded images, or why there are none; row groups without any are not read."""
        first = 0
        for file, name, count in zip(self.files, self.names, self.counts, strict=True):
            wanted = indices[(indices >= first) & (indices < first + count)] - first
            if wanted.size:
                yield from _scan_file(file, name, self.column, wanted)
            first += count

    def labels(self, column: str) -> pa.Array:
        """Return a column of classes; raises UserError when its type differs between files."""
        pieces: list[pa.Array] = []
        for file, name in zip(self.files, self.names, strict=True):
            with readable(name), pq.ParquetFile(file) as table:
                found = plain_labels(table.read(columns=[column]).column(0))
            if pieces and found.type != pieces[0].type:
                raise UserError(
                    f"{name} has another type of label than {self.names[0]}; write both as "
                    f"numbers, or both as names"
                )
            pieces.append(found)
        return pa.concat_arrays(pieces)

    def where(self, index: int) -> str:
        """Return the file and its row, e.g. `train.parquet row 17`."""
        for name, count in zip(self.names, self.counts, strict=True):
            if index < count:
                return f"{name} row {index}"
            index -= count
        raise IndexError(index)

    def size(self) -> int:
        """Return the bytes of all files."""
        return sum(file.stat().st_size for file in self.files)

    def changed(self) -> int:
        """Return when the newest file was written, in nanoseconds."""
        return max(file.stat().st_mtime_ns for file in self.files)

    def content(self) -> str:
        """Return the sha256 over the sha256 of each file."""
        return lines_sha256(*(file_sha256(file) for file in self.files))

    def listing(self) -> str:
        """Return the sha256 over names, sizes and footers, which hold offsets and statistics."""
        return lines_sha256(
            *(
                f"{name} {file.stat().st_size} {end_sha256(file)}"
                for file, name in zip(self.files, self.names, strict=True)
            )
        )


def read_schema(file: Path, name: str) -> tuple[pa.Schema, int]:
    """Return a file's columns and its number of rows; raises UserError naming `name`."""
    with readable(name), pq.ParquetFile(file) as table:
        return table.schema_arrow, table.metadata.num_rows


@contextmanager
def readable(name: str) -> Iterator[None]:
    """Turn what pyarrow raises on a damaged file into a UserError naming it."""
    try:
        yield
    except (pa.ArrowException, OSError, UnicodeError) as problem:
        raise UserError(
            f"{name} is not a readable parquet file ({first_line(problem)}); write or copy it anew"
        ) from problem


def encoded(value: Any, where: str) -> Stored:
    """Return the file bytes in a stored value: bytes, or {bytes, path}.

    A path without bytes is no image: what lies there is not part of the data set.
    """
    path = None
    if isinstance(value, dict):
        path, value = value.get("path"), value.get("bytes")
    if isinstance(value, bytes):
        return value
    if path:
        return Unreadable(where, f"holds the path {path} and no image (a file's bytes)")
    return Unreadable(where, "holds no image")


def _scan_file(file: Path, name: str, column: str, wanted: IntArray) -> Iterator[Stored]:
    """Yield the wanted rows (ascending) of one file."""
    with readable(name):
        table = pq.ParquetFile(file)
    with table:
        start = 0
        for group in range(table.num_row_groups):
            end = start + table.metadata.row_group(group).num_rows
            low, high = np.searchsorted(wanted, (start, end))
            if low < high:
                yield from _scan_group(table, group, column, start, wanted[low:high], name)
            start = end


def _plain(value: Any) -> Any:
    """Return what Arrow stores; of a path that is no text, which nobody needs, nothing."""
    try:
        return value.as_py()
    except UnicodeDecodeError:
        return {"bytes": value["bytes"].as_py()}


def _scan_group(
    table: pq.ParquetFile, group: int, column: str, start: int, wanted: IntArray, name: str
) -> Iterator[Stored]:
    """Yield the wanted rows of a row group, each after damage as one that cannot be read."""
    done = 0
    try:
        for batch in table.iter_batches(_CHUNK, row_groups=[group], columns=[column]):
            low, high = np.searchsorted(wanted, (start, start + batch.num_rows))
            values = batch.column(0).take(pa.array(wanted[low:high] - start))
            for row, value in zip(wanted[low:high], values, strict=True):
                yield encoded(_plain(value), f"{name} row {row}")
            start += batch.num_rows
            done = int(high)
            if done == wanted.size:
                return
    except MemoryError:
        raise  # Arrow's own is an ArrowException too
    except (pa.ArrowException, OSError) as problem:
        reason = f"lies in a damaged row group ({first_line(problem)})"
        for row in wanted[done:]:
            yield Unreadable(f"{name} row {row}", reason)
