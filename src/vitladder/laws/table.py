"""A table of runs from any source, checked as it is used.

Cells stay as they were read until a law asks for a column of numbers; what is wrong is then said
with the file, the column and the rows (the first row of data is row 1).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitladder.errors import UserError, shown, unknown
from vitladder.laws.criterion import Vector

SHOWN_ROWS = 5
SMALLEST, LARGEST = 1e-40, 1e40  # squares and powers of these stay within float64
_BEYOND = f"not between {SMALLEST:g} and {LARGEST:g}, as numbers of runs are"
_WRITE = "; write numbers such as 1234.5 or 1.2e9"


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
        error = unknown("column", name, self.cells)
        return UserError(
            f"{self.source}: {error}; --column {name}=NAME says what it is called here"
        )

    def numbers(self, name: str) -> Vector:
        """A column as positive numbers of usual size [rows]. Raises UserError naming bad rows."""
        values = [number(cell) for cell in self.column(name)]
        self._refuse(name, values, lambda x: x is None, "not a number", _WRITE)
        advice = f'; --where "{name}>0 and {name}<inf" leaves such rows out'
        self._refuse(name, values, lambda x: not math.isfinite(x), "not finite", advice)
        self._refuse(name, values, lambda x: x <= 0, "not positive", advice)
        self._refuse(name, values, lambda x: not SMALLEST <= x <= LARGEST, _BEYOND)
        return np.array(values, dtype=np.float64)

    def rates(self, name: str) -> Vector:
        """A column as rates in (0, 1] [rows]. Raises UserError naming the bad rows."""
        values = self.numbers(name)
        self._refuse(name, list(values), lambda x: x > 1, "above 1, which no rate is")
        return values

    def _refuse(
        self,
        name: str,
        values: Sequence[Any],
        wrong: Callable[[Any], bool],
        what: str,
        advice: str = "",
    ) -> None:
        rows = [row for row, value in enumerate(values) if wrong(value)]
        if rows:
            cell = self.cells[name][rows[0]]
            found = "empty" if _empty(cell) else shown(cell)
            raise UserError(
                f"{self.source}: column {name}, {self.where(rows)}: {what} ({found}){advice}"
            )

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
        if old not in table.cells:
            error = unknown("column", old, table.cells)
            raise UserError(f"{table.source}: {error}, for --column {new}={old}")
        table = table.with_column(new, table.cells[old])
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
