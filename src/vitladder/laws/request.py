"""What a fit is asked for, and the table that it is left with: renamed, filtered, completed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitladder.errors import UserError
from vitladder.laws.criterion import Criterion
from vitladder.laws.expression import held_by, matching, parse_flops_per
from vitladder.laws.steps import budget_of
from vitladder.laws.table import Table, number, refuse_same_rows, refuse_same_runs, rename

BOOTSTRAP = 4000
MOST_DRAWS = 1_000_000
IDENTITY = ("run", "seed", "n_params", "images", "tokens", "flops", "width", "depth")  # of a run


@dataclass(frozen=True)
class Request:
    """The options of `vitladder fit`; `law` is a law's name, or "auto" for all that apply.

    `columns` maps new names to those of the source; `scales` divides columns.
    """

    law: str = "auto"
    terms: tuple[str, ...] = ()
    criterion: Criterion = field(default_factory=Criterion)
    columns: Mapping[str, str] = field(default_factory=dict)
    scales: Mapping[str, float] = field(default_factory=dict)
    flops_per: str | None = None
    where: str | None = None
    by: str | None = None
    drop_worst: int = 0
    drop_flagged: bool = False
    hold_out: str | None = None
    bootstrap: int = BOOTSTRAP
    seed: int = 0

    def check(self) -> None:
        """Raise UserError where a number is out of range."""
        whole = (
            ("bootstrap", self.bootstrap),
            ("seed", self.seed),
            ("drop-worst", self.drop_worst),
        )
        for name, value in whole:
            if value < 0:
                raise UserError(f"--{name} is {value}: give a whole number, 0 or more")
        if self.bootstrap > MOST_DRAWS:
            raise UserError(f"--bootstrap is {self.bootstrap}: give at most {MOST_DRAWS}")
        if not 0 < self.criterion.delta < np.inf:
            raise UserError(f"--delta is {self.criterion.delta:g}: give a number above 0")
        for name, scale in self.scales.items():
            if not 0 < scale < np.inf:
                raise UserError(f"--scale {name}={scale:g}: give a number above 0")


@dataclass(frozen=True)
class Prepared:
    """The rows to fit and the rows held out, and how they were chosen, for the report."""

    fitted: Table
    held_out: Table | None
    target: str
    images: str | None  # the column that is D
    notes: Mapping[str, Any]


def select(table: Table, request: Request) -> tuple[Table, str | None]:
    """The table with its new names, its third column, and the rows that the filter keeps.

    Also how the third of N, D and C was made, or None.
    """
    table, third = _third_column(rename(table, request.columns), request)
    if request.where is None:
        return table, third
    kept = table.rows(np.flatnonzero(matching(table, request.where)))
    if not len(kept):
        raise UserError(
            f"{table.source}: no row has {_line(request.where)}; {held_by(table, request.where)}"
        )
    return kept, third


def prepare(table: Table, request: Request, third: str | None = None) -> Prepared:
    """Check, scale and split a selected table. Raises UserError where it cannot be done."""
    target = "loss" if "loss" in table or "error" not in table else "error"
    losses = table.rates(target) if target == "error" else table.numbers(target)
    held = _held(table, request)
    refuse_same_rows(table, (*IDENTITY, target))
    if request.law != "envelope":
        refuse_same_runs(table)
    notes: dict[str, Any] = {"target": target, "flops_per": third, "scales": dict(request.scales)}
    notes |= {"where": request.where, "hold_out": request.hold_out}
    images = next((name for name in ("images", "tokens") if name in table), None)
    table = _scaled(_with_budgets(table), request)
    fitted = np.flatnonzero(~held)
    worst = fitted[np.argsort(-losses[fitted], kind="stable")[: request.drop_worst]]
    notes["dropped_worst"] = [table.name(int(row)) for row in worst]
    keep = np.setdiff1d(fitted, worst)
    if not len(keep):
        raise UserError(
            f"{table.source}: no row is left to fit: of {len(table)} rows, {int(held.sum())} are "
            f"held out, and --drop-worst {request.drop_worst} leaves out the rest"
        )
    held_out = table.rows(np.flatnonzero(held)) if held.any() else None
    return Prepared(table.rows(keep), held_out, target, images, notes)


def _with_budgets(table: Table) -> Table:
    """The table with a budget for every row, where it has compute and does not say all of them."""
    known = [number(cell) for cell in table.cells.get("budget", ())]
    if "flops" not in table or (known and None not in known):
        return table
    return table.with_column("budget", budgets_of(table))


def _scaled(table: Table, request: Request) -> Table:
    """The table with its columns in other units; a budget is in those of flops."""
    scales = dict(request.scales)
    if "flops" in scales and "budget" in table:
        scales.setdefault("budget", scales["flops"])
    for name, scale in scales.items():
        table = table.with_column(name, (table.numbers(name) / scale).tolist())
    return table


def budgets_of(table: Table) -> list[float]:
    """The budget of each row: the geometric mean FLOPs of the rows that share it."""
    flops = table.numbers("flops")
    label = budget_of(flops)
    mean = [float(np.exp(np.log(flops[label == k]).mean())) for k in range(int(label.max()) + 1)]
    return [mean[k] for k in label]


def _line(text: str) -> str:
    return " ".join(text.split())


def _held(table: Table, request: Request) -> NDArray[np.bool_]:
    """Which rows --hold-out keeps from the fit."""
    if request.hold_out is None:
        return np.zeros(len(table), dtype=bool)
    held = matching(table, request.hold_out)
    if not held.any():
        raise UserError(
            f"{table.source}: no row has {_line(request.hold_out)}, nothing to hold out; "
            f"{held_by(table, request.hold_out)}"
        )
    return held


def _third_column(table: Table, request: Request) -> tuple[Table, str | None]:
    """The table with the one of N, D and C that it lacks, where --flops-per says how."""
    if request.flops_per is None:
        return table, None
    k = parse_flops_per(request.flops_per)
    data = "tokens" if "tokens" in table and "images" not in table else "images"
    have = {name: name in table for name in ("n_params", data, "flops")}
    missing = [name for name, there in have.items() if not there]
    if len(missing) != 1:
        listed = " and ".join(missing) if missing else "none"
        raise UserError(
            f"{table.source}: --flops-per gives the one that is missing of n_params, images (or "
            f"tokens) and flops, and {listed} is missing"
        )
    rows = range(len(table))
    known = {name: [number(cell) for cell in table.cells[name]] for name in have if have[name]}
    made = [_third(missing[0], k, [known[name][row] for name in known]) for row in rows]
    note = f"{missing[0]} from flops = {request.flops_per}"
    return table.with_column(missing[0], made), note


def _third(missing: str, k: float, others: Sequence[float | None]) -> float | None:
    """C = k N D solved for one of them; `others` are (N, D), or N or D and then C.

    None where one of those is not a positive number: it is named when its row is used.
    """
    first, second = others
    if first is None or second is None or not (first > 0 and second > 0):
        return None
    return k * first * second if missing == "flops" else second / (k * first)
