"""A table of runs from any source: CSV, Parquet or a study's records, checked as it is used.

Cells stay as they were read until a law asks for a column of numbers; what is wrong is then said
with the file, the column and the rows (the first row of data is row 1).
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitladder.errors import UserError, unknown
from vitladder.laws.criterion import Vector

SHOWN_ROWS = 5


@dataclass(frozen=True)
class Table:
    """Columns of cells of one length; `places` says of each row where it stands."""

    source: str
    cells: Mapping[str, Sequence[Any]]
    places: Sequence[str]

    def __len__(self) -> int:
        """How many rows."""
        return len(self.places)

    def __contains__(self, column: str) -> bool:
        """Whether there is such a column, with anything in it."""
        return any(not _empty(cell) for cell in self.cells.get(column, ()))

    def column(self, name: str) -> Sequence[Any]:
        """The cells of a column. Raises UserError where there is none."""
        if name not in self.cells:
            raise self.missing(name)
        return self.cells[name]

    def missing(self, name: str) -> UserError:
        """The error of a column that is not there."""
        error = unknown(f"{self.source}: column", name, self.cells)
        return UserError(f"{error}; --column {name}=NAME says what it is called here")

    def numbers(self, name: str) -> Vector:
        """A column as positive finite numbers [rows]. Raises UserError naming the bad rows."""
        values = [number(cell) for cell in self.column(name)]
        self._refuse(name, values, lambda x: x is None, "not a number")
        self._refuse(name, values, lambda x: not math.isfinite(x), "not finite")
        self._refuse(name, values, lambda x: x <= 0, "not positive")
        return np.array(values, dtype=np.float64)

    def rates(self, name: str) -> Vector:
        """A column as rates in (0, 1] [rows]. Raises UserError naming the bad rows."""
        values = self.numbers(name)
        self._refuse(name, list(values), lambda x: x > 1, "above 1, which no rate is")
        return values

    def _refuse(
        self, name: str, values: Sequence[Any], wrong: Callable[[Any], bool], what: str
    ) -> None:
        rows = [row for row, value in enumerate(values) if wrong(value)]
        if rows:
            cell = self.cells[name][rows[0]]
            shown = "empty" if _empty(cell) else repr(cell) if isinstance(cell, str) else cell
            raise UserError(f"{self.source}: column {name}, {self.where(rows)}: {what} ({shown})")

    def where(self, rows: Sequence[int]) -> str:
        """The places of rows, the first few by name."""
        named = ", ".join(self.places[row] for row in rows[:SHOWN_ROWS])
        return named + (f" and {len(rows) - SHOWN_ROWS} more" if len(rows) > SHOWN_ROWS else "")

    def name(self, row: int) -> str:
        """A run's own name where the table has a `run` column, else its place."""
        run = self.cells["run"][row] if "run" in self.cells else None
        return self.places[row] if _empty(run) else str(run)

    def rows(self, keep: Sequence[int] | NDArray[np.intp]) -> Table:
        """Some of the rows, in the given order."""
        cells = {name: [column[row] for row in keep] for name, column in self.cells.items()}
        return replace(self, cells=cells, places=[self.places[row] for row in keep])

    def with_column(self, name: str, values: Iterable[Any]) -> Table:
        """The table with one column more, or another one of that name."""
        return replace(self, cells={**self.cells, name: list(values)})


def number(cell: Any) -> float | None:
    """A cell as a number, or None."""
    if isinstance(cell, bool) or cell is None:
        return None
    try:
        return float(cell)
    except (TypeError, ValueError, OverflowError):
        return None


def read_table(path: Path) -> Table:
    """A CSV (with a head) or Parquet file. Raises UserError where it cannot be read."""
    is_parquet = path.suffix.lower() in (".parquet", ".pq")
    cells = _read_parquet(path) if is_parquet else _read_csv(path)
    lengths = {len(column) for column in cells.values()}
    count = lengths.pop() if lengths else 0
    if not count:
        raise UserError(f"{path}: no row of data: give a head and a row for each run")
    return Table(str(path), cells, [f"row {row + 1}" for row in range(count)])


def join(tables: Sequence[Table]) -> Table:
    """Tables one after another; cells of columns that one of them lacks are empty."""
    if len(tables) == 1:
        return tables[0]
    names = dict.fromkeys(name for table in tables for name in table.cells)
    cells = {
        name: [cell for table in tables for cell in table.cells.get(name, [None] * len(table))]
        for name in names
    }
    places = [f"{table.source} {place}" for table in tables for place in table.places]
    return Table(", ".join(table.source for table in tables), cells, places)


def rename(table: Table, names: Mapping[str, str]) -> Table:
    """Give columns new names ({new: old}); the old ones stay, for filters written in them."""
    for new, old in names.items():
        table = table.with_column(new, table.column(old))
    return table


def refuse_same_rows(table: Table, columns: Sequence[str]) -> None:
    """Raise UserError where two rows are the same in all of the columns that there are."""
    by = [name for name in columns if name in table]
    pair = _twice([tuple(_key(table.cells[name][row]) for name in by) for row in range(len(table))])
    if pair is not None:
        raise _one_run(table, pair, f"the same {', '.join(by)}; remove one of them")


def refuse_same_runs(table: Table) -> None:
    """Raise UserError where two rows have one run's name."""
    if "run" not in table:
        return
    pair = _twice([_key(cell) for cell in table.cells["run"]])
    if pair is not None:
        raise _one_run(table, pair, "the same run (its learning curve is for --law envelope)")


def _one_run(table: Table, pair: tuple[int, int], why: str) -> UserError:
    first, other = (table.places[row] for row in pair)
    return UserError(f"{table.source}: {first} and {other} are one run: {why}")


def _twice(keys: Sequence[Any]) -> tuple[int, int] | None:
    """The first two rows of one key that is not empty, or None."""
    first: dict[Any, int] = {}
    for row, key in enumerate(keys):
        if key in first and key and any(key):
            return first[key], row
        first.setdefault(key, row)
    return None


def _key(cell: Any) -> str:
    """What makes a cell equal to another: its number, where it is one."""
    value = number(cell)
    return "" if _empty(cell) else str(cell) if value is None else repr(value)


def _empty(cell: Any) -> bool:
    return cell is None or (isinstance(cell, str) and not cell.strip())


def _read_csv(path: Path) -> dict[str, list[Any]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = [row for row in csv.reader(file) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: cannot be read as CSV: {_reason(error)}") from error
    if not rows:
        raise UserError(f"{path}: empty: give a head and a row for each run")
    head = [name.strip() for name in rows[0]]
    twice = {name for name in head if head.count(name) > 1}
    if twice:
        raise UserError(f"{path}: two columns are called {sorted(twice)[0]!r}")
    for place, row in enumerate(rows[1:], start=1):
        if len(row) != len(head):
            raise UserError(f"{path}: row {place} has {len(row)} cells, the head has {len(head)}")
    return {name: [row[k] for row in rows[1:]] for k, name in enumerate(head)}


def _read_parquet(path: Path) -> dict[str, list[Any]]:
    from pyarrow import ArrowException, parquet

    try:
        return dict(parquet.read_table(path).to_pydict())
    except (OSError, ArrowException) as error:
        raise UserError(f"{path}: cannot be read as Parquet: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return " ".join(str(error).split())
