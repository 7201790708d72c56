"""CSV and Parquet files as tables of runs, or one line that says what keeps them from being one."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vitladder.errors import UserError, one_line
from vitladder.laws.table import Table
from vitladder.runs.reading import Unreadable, text_of

PARQUET = (".parquet", ".pq")
_MAGIC = b"PAR1"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_OFFICE = b"PK\x03\x04"  # the archive that an .xlsx or .ods file is
_SEPARATORS = {";": "';'", "\t": "tabs", "|": "'|'"}
_WANTED = "give a head and a row for each run"


def read_table(path: Path) -> Table:
    """A CSV (with a head) or Parquet file. Raises UserError where it cannot be read."""
    cells = _parquet(path) if path.suffix.lower() in PARQUET else _csv(path)
    lengths = {len(column) for column in cells.values()}
    count = lengths.pop() if lengths else 0
    if not count:
        raise UserError(f"{path}: no row of data: {_WANTED}")
    return Table(str(path), cells, [f"row {row + 1}" for row in range(count)])


def _csv(path: Path) -> dict[str, list[Any]]:
    text = _text(path)
    if not text.strip():
        raise UserError(f"{path}: empty: {_WANTED}")
    _refuse_zeros(path, text)
    try:
        # Strict, so that a quote without an end is an error and not the rest of the file.
        rows = [row for row in csv.reader(io.StringIO(text, newline=""), strict=True) if row]
    except csv.Error as error:
        raise UserError(
            f"{path}: cannot be read as CSV: {error}; is there a quote without its other?"
        ) from error
    if not rows:
        raise UserError(f"{path}: empty: {_WANTED}")
    _refuse_separator(path, rows[0])
    head = [one_line(name) for name in rows[0]]
    _refuse_names(path, head)
    for place, row in enumerate(rows[1:], start=1):
        if len(row) != len(head):
            raise UserError(
                f"{path}: row {place} has {len(row)} cells, the head has {len(head)}: quote cells "
                f"that hold commas"
            )
    return {name: [row[k] for row in rows[1:]] for k, name in enumerate(head)}


def _text(path: Path) -> str:
    """The text of a file that is called like CSV, without the mark that spreadsheets begin with."""
    try:
        return text_of(path).removeprefix("\ufeff")
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UserError(f"no {path}: give a CSV or Parquet file") from error
    except Unreadable as why:
        raise UserError(f"{path}: cannot be read as CSV: {why}{_other_kind(path)}") from why


def _other_kind(path: Path) -> str:
    """What a file that is no text is, by its first bytes."""
    try:
        with path.open("rb") as file:
            first = file.read(4)
    except OSError:
        return ""
    if first == _MAGIC:
        return "; it is Parquet: call it .parquet"
    if first[:2] in _UTF16:
        return "; it is UTF-16: save it as UTF-8"
    return "; it is a spreadsheet: save it as CSV" if first == _OFFICE else ""


def _refuse_zeros(path: Path, text: str) -> None:
    place = text.find("\0")
    if place >= 0:
        line = text.count("\n", 0, place) + 1
        raise UserError(
            f"{path}: cannot be read as CSV: line {line} holds a NUL, which no text has"
        )


def _refuse_separator(path: Path, head: Sequence[str]) -> None:
    for separator, called in _SEPARATORS.items():
        if len(head) == 1 and separator in head[0]:
            raise UserError(
                f"{path}: its columns are separated by {called}: separate them by commas, with "
                f"points in numbers"
            )


def _refuse_names(path: Path, head: Sequence[str]) -> None:
    # One column without a name is the index that pandas writes.
    twice = sorted({name for name in head if head.count(name) > 1})
    if twice == [""]:
        raise UserError(f"{path}: two columns have no name: give them names in the first line")
    if twice:
        raise UserError(f"{path}: two columns are called {twice[-1]!r}: rename one of them")


def _parquet(path: Path) -> dict[str, list[Any]]:
    from pyarrow import ArrowException, parquet

    try:
        return dict(parquet.read_table(path).to_pydict())
    except (OSError, ArrowException, ValueError) as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise UserError(f"{path}: cannot be read as Parquet: {reason}{_text_hint(path)}") from error


def _text_hint(path: Path) -> str:
    try:
        text_of(path)
    except (OSError, Unreadable):
        return ""
    return "; it is text: if it is CSV, call it .csv"
