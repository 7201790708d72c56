"""The laws of one table: each on its own, and what they say together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vitladder.errors import UserError
from vitladder.laws import approaches
from vitladder.laws.additive import Additive
from vitladder.laws.answer import FittedLaw, columns_of, fit_formula
from vitladder.laws.basis import basis_of, config_of
from vitladder.laws.catalogue import FORMULAS, OF_ONE_COLUMN, SIZES, applicable, make_law
from vitladder.laws.disagreement import disagreements
from vitladder.laws.held_out import Entrant, tournament
from vitladder.laws.law import NoLaw
from vitladder.laws.origin import refuse_mixed
from vitladder.laws.request import Prepared, Request, prepare
from vitladder.laws.study import RunPoint
from vitladder.laws.table import Table


@dataclass(frozen=True)
class Fit:
    """An answer as plain data for JSON, and the laws behind it, for what draws on their draws."""

    data: dict[str, Any]
    laws: Mapping[str, FittedLaw]
    table: Table | None = None

    def predictions(self, law: str) -> list[float]:
        """A law's prediction for every row of the table that was fitted."""
        if self.table is None:
            return []
        optimum = self.laws[law].optimum
        columns = columns_of(self.table, optimum.problem.law)
        return [float(value) for value in optimum.predict(columns)]


def fit_table(table: Table, request: Request, third: str | None = None) -> Fit:
    """The laws of one table, without its flagged runs where the request drops them.

    Raises UserError where rows are wrong, or are runs that no law may pool.
    """
    refuse_mixed(table)
    prepared = prepare(table, request, third)
    fitted = _fit(prepared, request)
    flagged = [one["run"] for one in fitted.data["flagged_runs"]]
    if not (request.drop_flagged and flagged):
        return fitted
    names = [prepared.fitted.name(row) for row in range(len(prepared.fitted))]
    keep = [row for row, name in enumerate(names) if name not in flagged]
    notes = {**prepared.notes, "dropped_flagged": fitted.data["flagged_runs"]}
    kept = Prepared(
        prepared.fitted.rows(keep), prepared.held_out, prepared.target, prepared.images, notes
    )
    return _fit(kept, request)


def _fit(prepared: Prepared, request: Request) -> Fit:
    """Every law that is asked for, and what they say together."""
    table, reasons = prepared.fitted, dict[str, str]()
    everything = request.law == "auto"
    names = applicable(table) if everything else [request.law]
    if request.terms and everything:
        names = [Additive.name]
    if request.terms and request.law in approaches.NAMES:
        raise UserError(f"--terms {','.join(request.terms)}: {request.law} takes none")
    if not names:
        raise table.missing("n_params" if "flops" in table else "flops")
    laws: dict[str, Any] = {}
    fitted: dict[str, FittedLaw] = {}
    for name in names:
        try:
            if name in FORMULAS:
                drawn = 0 if everything and name in OF_ONE_COLUMN else request.bootstrap
                law = make_law(name, request.terms, table)
                fitted[name] = fit_formula(prepared, law, request, drawn)
                if everything and drawn != request.bootstrap:
                    fitted[name].data["reasons"]["ci95"] = f"intervals are for --law {name}"
                laws[name] = fitted[name].data
            else:
                laws[name] = _approach(name, prepared, request, reasons)
        except NoLaw as why:
            laws[name], reasons[name] = None, str(why)
    return Fit(_together(prepared, request, laws, fitted, reasons), fitted, table)


def _approach(
    name: str, prepared: Prepared, request: Request, reasons: dict[str, str]
) -> dict[str, Any]:
    """IsoFLOP or the envelope."""
    table = prepared.fitted
    if name == "envelope":
        curves = table.with_column("images", table.column(prepared.images or "images"))
        curves = curves.with_column("loss", table.column(prepared.target))
        return approaches.envelope_law(curves, request.bootstrap, request.seed, reasons)
    points = _run_points(prepared)
    found = approaches.isoflop(points, request.bootstrap, request.seed, reasons)
    if request.law == name and len(found["minima"]) < 2:
        raise NoLaw("one budget only: N* over C needs at least two budgets of three sizes")
    if prepared.images is None:
        reasons["isoflop_images"] = "no images (or tokens): --flops-per says how they follow"
        found = approaches.of_sizes_alone(found)
    return found | {"unit": prepared.images}


def _run_points(prepared: Prepared) -> list[RunPoint]:
    """The rows as runs, with 1 for a D that they do not say.

    Raises UserError where N, C, the loss, or D is missing or not positive.
    """
    table = prepared.fitted
    known = {name: table.numbers(name) for name in ("n_params", "flops", prepared.target, "budget")}
    images = table.numbers(prepared.images) if prepared.images else np.ones(len(table))
    return [
        RunPoint(
            run_key=table.name(row),
            n_params=float(known["n_params"][row]),
            images=float(images[row]),
            flops=float(known["flops"][row]),
            loss=float(known[prepared.target][row]),
            budget=float(known["budget"][row]),
        )
        for row in range(len(table))
    ]


def _together(
    prepared: Prepared,
    request: Request,
    laws: Mapping[str, Any],
    fitted: Mapping[str, FittedLaw],
    reasons: dict[str, str],
) -> dict[str, Any]:
    """What stands beside the laws: the main law's held-out error, the tournament, disagreement."""
    table = _tournament(prepared.fitted, fitted)
    main_name = _main(request, laws, table)
    main = fitted[main_name].data if main_name in fitted else None
    parametric = laws.get(Additive.name)
    for name in ("ci95", "bound"):
        if parametric and name in parametric["reasons"]:
            reasons[f"{Additive.name}_{name}"] = parametric["reasons"][name]
    if main is None or main["held_out"] is None:
        reasons["held_out"] = _why_nothing_held_out(main_name, main, reasons)
    return {
        "runs": len(prepared.fitted),
        "of_study": "folder" in prepared.fitted,
        **prepared.notes,
        "criterion": {
            "loss": request.criterion.loss,
            "delta": request.criterion.delta,
            "residual": request.criterion.residual,
            "text": str(request.criterion),
        },
        "laws": dict(laws),
        "held_out": main["held_out"] if main else None,
        "flagged_runs": main["flagged_runs"] if main else [],
        "flops_per_param_image": parametric["flops_per_param_image"] if parametric else None,
        "tournament": table,
        "basis": basis_of(fitted.get(Additive.name)),
        "config": config_of(prepared.fitted),
        "disagreement": disagreements(laws),
        "reasons": reasons,
    }


def _main(request: Request, laws: Mapping[str, Any], table: Sequence[Mapping[str, Any]]) -> str:
    """The law whose held-out error and flagged runs lead: the one asked for, or the parametric one.

    Where the columns have none, it is the one that predicts best.
    """
    if request.law != "auto":
        return request.law
    if Additive.name in laws or not table:
        return Additive.name
    return str(table[0]["law"])


def _why_nothing_held_out(
    name: str, main: Mapping[str, Any] | None, reasons: Mapping[str, str]
) -> str:
    if main is not None:
        return str(main["reasons"]["held_out"])
    return reasons.get(name, f"{name} predicts no loss")


def _tournament(table: Table, fitted: Mapping[str, FittedLaw]) -> list[dict[str, Any]]:
    """The fitted formulas by how they predict the rows that all of them are fitted to."""
    sound = [law for law in fitted.values() if law.optimum.converged]
    entrants = [Entrant(law.optimum, law.rows) for law in sound]
    if not entrants:
        return []
    first = entrants[0].optimum.problem.law.inputs[0]
    compute = table.numbers(next((name for name in SIZES if name in table), first))
    targets = min((entrant.rows for entrant in entrants), key=len)
    return tournament(entrants, compute, targets)
