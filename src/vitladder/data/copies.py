"""Images of parquet files copied into one Arrow file, from which any of them is read at once."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from vitladder.data.building import build
from vitladder.data.draws import IntArray
from vitladder.data.faults import Unreadable
from vitladder.data.one_line import first_line
from vitladder.data.parquet import ParquetRows
from vitladder.data.pixels import Stored
from vitladder.errors import UserError

_CHUNK: Final = 256
_FILE: Final = "rows.arrow"
_SCHEMA: Final = pa.schema({"image": pa.large_binary(), "fault": pa.string()})


class CopiedRows:
    """The rows of parquet files, copied into a memory-mapped Arrow file."""

    def __init__(self, original: ParquetRows, file: Path) -> None:
        self._original = original
        table = pa.ipc.open_file(pa.memory_map(str(file))).read_all()
        self._images: list[Any] = table.column("image").chunks
        self._faults: list[Any] = table.column("fault").chunks
        self._starts = np.cumsum([0, *(len(chunk) for chunk in self._images)])

    def __len__(self) -> int:
        return len(self._original)

    def scan(self, indices: IntArray) -> Iterator[Stored]:
        """Yield encoded images, or why there are none."""
        return (self._stored(int(index)) for index in indices)

    def read(self, indices: IntArray) -> list[Stored]:
        """Return encoded images, or why there are none."""
        return list(self.scan(indices))

    def where(self, index: int) -> str:
        """Return the parquet file and its row."""
        return self._original.where(index)

    def size(self) -> int:
        """Return the bytes of the parquet files."""
        return self._original.size()

    def changed(self) -> int:
        """Return when the newest parquet file was written, in nanoseconds."""
        return self._original.changed()

    def content(self) -> str:
        """Return the sha256 over the sha256 of each parquet file."""
        return self._original.content()

    def listing(self) -> str:
        """Return the sha256 over names, sizes and footers of the parquet files."""
        return self._original.listing()

    def _stored(self, index: int) -> Stored:
        chunk = int(np.searchsorted(self._starts, index, side="right")) - 1
        place = index - int(self._starts[chunk])
        image: bytes | None = self._images[chunk][place].as_py()
        if image is not None:
            return image
        return Unreadable(self.where(index), self._faults[chunk][place].as_py())


def copied(rows: ParquetRows, place: Path) -> CopiedRows:
    """Return the rows with a fast `read`, copied into the folder `place` if they are not yet.

    Raises UserError where that cannot be written, or is damaged.
    """
    if not place.exists():
        build(place, rows.size(), lambda folder: _write(rows, folder / _FILE))
    try:
        return CopiedRows(rows, place / _FILE)
    except (pa.ArrowException, OSError) as problem:
        raise UserError(
            f"the copy {place} is damaged ({first_line(problem)}); delete that folder"
        ) from problem


def _write(rows: ParquetRows, file: Path) -> None:
    stored = rows.scan(np.arange(len(rows)))
    with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_file(sink, _SCHEMA) as writer:
        while some := list(islice(stored, _CHUNK)):
            images = [None if isinstance(image, Unreadable) else bytes(image) for image in some]
            faults = [image.reason if isinstance(image, Unreadable) else None for image in some]
            columns = [pa.array(images, pa.large_binary()), pa.array(faults, pa.string())]
            writer.write_batch(pa.record_batch(columns, schema=_SCHEMA))
