"""Every law by its name, and which of them a table of runs has the columns for."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from vitladder.errors import UserError, unknown
from vitladder.laws import approaches
from vitladder.laws.additive import Additive
from vitladder.laws.broken import Broken
from vitladder.laws.law import Law
from vitladder.laws.m3 import M3
from vitladder.laws.m4 import M4
from vitladder.laws.power import M1, M2
from vitladder.laws.shape import Shape
from vitladder.laws.table import Table, number
from vitladder.laws.zhai import Zhai

OF_ONE_COLUMN: dict[str, Callable[[str], Law]] = {
    law.name: law for law in (Zhai, M1, M2, M3, M4, Broken)
}
FORMULAS = (Additive.name, *OF_ONE_COLUMN, Shape.name)
NAMES = (Additive.name, *approaches.NAMES, *OF_ONE_COLUMN, Shape.name, "auto")
SIZES = ("flops", "images", "tokens", "n_params")  # what a law of one column is over, by preference
SHAPES = ("width", "depth", "mlp_ratio", "patch")
MIN_SHAPES = 3


def make_law(name: str, terms: Sequence[str], table: Table) -> Law:
    """The law over `terms`, or over the table's usual columns.

    Raises UserError where there is no law of that name, or it does not take so many columns.
    """
    if name not in FORMULAS:
        raise unknown("law", name, NAMES)
    if name == Additive.name:
        data = "images" if "images" in table or "tokens" not in table else "tokens"
        return Additive(tuple(terms) or ("n_params", data))
    if name == Shape.name:
        return Shape(_shape_columns(terms, table))
    if len(terms) > 1:
        raise UserError(f"--terms {','.join(terms)}: {name} is a law of one column")
    column = terms[0] if terms else next((one for one in SIZES if one in table), SIZES[0])
    return OF_ONE_COLUMN[name](column)


def applicable(table: Table) -> list[str]:
    """The laws that the table has columns for, by name; a shape law where shapes vary."""
    found = []
    data = "images" in table or "tokens" in table
    if "n_params" in table and data:
        found.append(Additive.name)
    if "n_params" in table and "flops" in table:
        found += approaches.NAMES if data else ("isoflop",)
    if any(name in table for name in SIZES):
        found += OF_ONE_COLUMN
    return found


def _shape_columns(terms: Sequence[str], table: Table) -> tuple[str, str]:
    if len(terms) > 2:
        raise UserError(f"--terms {','.join(terms)}: shape is a law of a dimension and a compute")
    varying = [name for name in SHAPES if name in table and _varies(table, name)]
    dimension = terms[0] if terms else (varying or [SHAPES[0]])[0]
    return dimension, terms[1] if len(terms) == 2 else "flops"


def _varies(table: Table, name: str) -> bool:
    values = {number(cell) for cell in table.column(name)} - {None}
    return len(values) >= MIN_SHAPES
