"""Small expressions that users write, parsed and never evaluated.

Filters compare a column with a number or a name, joined by `and`: "flops<=1e21 and model=ViT-B/16".
A choice of FLOPs is a product of a number, N and D: "6*N*D".
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitladder.errors import UserError, shown
from vitladder.laws.table import Table, number

OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "!=": operator.ne,
    "==": operator.eq,
    "=": operator.eq,
    "<": operator.lt,
    ">": operator.gt,
}
SHOWN = 5  # values of a column
AND = re.compile(r"""\s+and(?:\s+|$)(?=(?:[^'"]|'[^']*'|"[^"]*")*$)""")  # outside of quotes
COMPARISON = re.compile(
    r"\s*(?P<column>[^<>=!]+?)\s*(?P<sign><=|>=|!=|==|=|<|>)\s*(?P<value>'[^']*'|\"[^\"]*\"|[^<>=!\s][^<>=!]*?)\s*"
)


@dataclass(frozen=True)
class Comparison:
    """`column sign value`."""

    column: str
    sign: str
    value: str

    def holds(self, table: Table, row: int) -> bool:
        """For one row. Raises UserError where its cell has no order with the value."""
        cell = table.column(self.column)[row]
        left, right = number(cell), number(self.value)
        compare = OPERATORS[self.sign]
        if left is not None and right is not None:
            return compare(left, right)
        if self.sign in ("=", "==", "!="):
            return compare("" if cell is None else str(cell), self.value)
        what = f"{cell!r} {self.sign} {self.value}"
        raise UserError(
            f"{table.source}: column {self.column}, {table.places[row]}: {what} compares no numbers"
        )


def parse_filter(text: str) -> list[Comparison]:
    """The comparisons of a filter. Raises UserError where it is none."""
    return [_comparison(part, text) for part in AND.split(text.strip())]


def matching(table: Table, text: str) -> NDArray[np.bool_]:
    """Which rows a filter holds for [rows]."""
    comparisons = parse_filter(text)
    for comparison in comparisons:
        table.column(comparison.column)
    held = [all(one.holds(table, row) for one in comparisons) for row in range(len(table))]
    return np.array(held)


def held_by(table: Table, text: str) -> str:
    """What the columns of a filter hold, for one that no row passed: "flops is 1e+09 to 3e+12"."""
    columns = dict.fromkeys(comparison.column for comparison in parse_filter(text))
    return ", ".join(f"{column} is {_held(table.column(column))}" for column in columns)


def _held(cells: Sequence[Any]) -> str:
    values = [value for cell in cells if (value := number(cell)) is not None]
    if len(values) == len(cells):
        return f"{min(values):g} to {max(values):g}"
    names = list(dict.fromkeys(shown(cell) for cell in cells))
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return " or ".join(names[:SHOWN]) + more


def _comparison(part: str, text: str) -> Comparison:
    found = COMPARISON.fullmatch(part)
    if found is None:
        raise UserError(
            f"{text!r} is no filter: {part.strip()!r} compares no column with a number or a name; "
            'write such as "flops<=1e21 and loss<5"'
        )
    return Comparison(_unquoted(found["column"]), found["sign"], _unquoted(found["value"]))


def _unquoted(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" else text


def parse_flops_per(text: str) -> float:
    """k of "k*N*D". Raises UserError where it is no such product."""
    factors = [part.strip() for part in text.split("*")]
    numbers = [factor for factor in factors if factor not in ("N", "D")]
    k = number(numbers[0]) if len(numbers) == 1 else 1.0 if not numbers else None
    if factors.count("N") != 1 or factors.count("D") != 1 or k is None or not 0 < k < np.inf:
        raise UserError(f'--flops-per {text!r} is no product of a number, N and D, such as "6*N*D"')
    return k
