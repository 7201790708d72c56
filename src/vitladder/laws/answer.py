"""One table's laws as plain data: what was fitted, how sure it is, and what it could not say."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitladder.laws.additive import Additive
from vitladder.laws.criterion import Criterion, Matrix
from vitladder.laws.flagged import flagged, z_scores
from vitladder.laws.frontier import Frontier, frontier_of
from vitladder.laws.held_out import error, largest_step, usable, without
from vitladder.laws.law import Law, NoLaw
from vitladder.laws.optimum import Optimum, Problem, fit_law
from vitladder.laws.request import Prepared, Request
from vitladder.laws.resample import Resamples, in_shape_of, interval, resample, spread
from vitladder.laws.table import Table

NO_OPTIMUM = "no optimum was reached: the law has more than these runs tell"
SPLIT = ("n_params", "images"), ("n_params", "tokens")  # columns of a law that splits C


@dataclass(frozen=True)
class FittedLaw:
    """A formula's optimum on some rows of the table, its resamples, and both as plain data."""

    optimum: Optimum
    resamples: Resamples
    rows: NDArray[np.intp]
    frontier: Frontier | None
    data: dict[str, Any]


def columns_of(table: Table, law: Law) -> Matrix:
    """The law's columns [inputs, rows]. Raises UserError where one is missing or not positive."""
    return np.array([table.numbers(name) for name in law.inputs])


def law_rows(table: Table, law: Law) -> NDArray[np.intp]:
    """The rows that a law is fitted to: all, or the best run of each budget.

    A law of compute alone says what the best model reaches, so that where a budget was spent on
    several sizes it is fitted to the lowest run of each.
    """
    everything = np.arange(len(table))
    if law.inputs != ("flops",) or "n_params" not in table or "budget" not in table:
        return everything
    budget, n_params = table.numbers("budget"), table.numbers("n_params")
    groups = [np.flatnonzero(budget == one) for one in np.unique(budget)]
    if all(len(np.unique(n_params[group])) < 2 for group in groups):
        return everything
    losses = np.array(table.numbers("loss" if "loss" in table else "error"))
    return np.sort([int(group[np.argmin(losses[group])]) for group in groups])


def fit_formula(prepared: Prepared, law: Law, request: Request, drawn: int) -> FittedLaw:
    """Fit one law. Raises NoLaw where the rows determine none, UserError where they are wrong."""
    table = prepared.fitted
    columns, target = columns_of(table, law), table.numbers(prepared.target)
    rows = law_rows(table, law)
    problem = Problem(law, columns[:, rows], target[rows], request.criterion)
    optimum = fit_law(problem)
    if optimum.identifiable or not isinstance(law, Additive):
        usable(optimum)
    sure = optimum.identifiable and optimum.converged
    draws = resample(optimum, drawn if sure else 0, request.seed)
    split = _frontier(table, optimum, draws)
    data = _describe(prepared, optimum, rows)
    data |= _uncertainty(optimum, draws, split, data["reasons"])
    data["held_out"] = _held_out(prepared, optimum, rows, data["reasons"])
    data |= _split(optimum, split, table, data["reasons"])
    return FittedLaw(optimum, draws, rows, split, data)


def _describe(prepared: Prepared, optimum: Optimum, rows: NDArray[np.intp]) -> dict[str, Any]:
    """The point fit."""
    law, table, params = optimum.problem.law, prepared.fitted, optimum.params
    reasons = {}
    if params.get("E") == 0:
        reasons["bound"] = "E is 0: these runs show no loss that would remain"
    if not optimum.converged:
        reasons["converged"] = NO_OPTIMUM
    return {
        "formula": law.formula,
        "terms": list(law.inputs),
        "params": params,
        "runs": len(rows),
        "of": "all runs" if len(rows) == len(table) else "the lowest run of each budget",
        "loss": str(optimum.problem.criterion),
        "objective": optimum.objective,
        "gradient_norm": optimum.gradient_norm,
        "starts": optimum.starts,
        "starts_agreeing": optimum.starts_agreeing,
        "condition_number": optimum.condition_number,
        "identifiable": optimum.identifiable,
        "flagged_runs": flags(optimum, table, rows),
        "reasons": reasons,
    }


def _uncertainty(
    optimum: Optimum, draws: Resamples, split: Frontier | None, reasons: dict[str, str]
) -> dict[str, Any]:
    """Standard errors and intervals of the parameters, and of a and b where the law has them."""
    resamples = {"drawn": draws.drawn, "used": len(draws.theta), "of": "runs"}
    if not optimum.identifiable:
        reasons["ci95"] = _alike(optimum)
    elif not optimum.converged:
        reasons["ci95"] = NO_OPTIMUM
    elif not draws.enough:
        reasons["ci95"] = draws.why_none
    if not draws.enough:
        return {"se": None, "ci95": None, "resamples": resamples}
    named, exponents = draws.named(), split.exponents() if split else {}
    found: dict[str, Any] = {"resamples": resamples}
    for key, measure in (("se", spread), ("ci95", interval)):
        values = {name: measure(drawn) for name, drawn in named.items()}
        found[key] = in_shape_of(optimum.params, values)
        found[key] |= {name: measure(drawn) for name, drawn in exponents.items()}
    return found


def _alike(optimum: Optimum) -> str:
    """What cannot be told apart, and what would tell it."""
    law = optimum.problem.law
    number = f"(condition number {optimum.condition_number:.1e})"
    if not isinstance(law, Additive):
        return f"the parameters cannot be told apart in these runs {number}"
    what = "alpha and beta" if len(law.columns) == 2 else "the exponents"
    columns = " and ".join(law.inputs)
    return f"{what} cannot be told apart in these runs {number}: vary {columns} independently"


def flags(optimum: Optimum, table: Table, rows: NDArray[np.intp]) -> list[dict[str, Any]]:
    """Runs with a robust z-score above 5 after a Huber fit, the worst first."""
    robust = optimum
    if optimum.problem.criterion.loss != "huber":
        robust = fit_law(replace(optimum.problem, asked=Criterion()))
    residuals, parameters = robust.residuals(), len(robust.theta)
    z = z_scores(residuals, parameters)
    found = flagged(residuals, parameters)
    return [{"run": table.name(int(rows[k])), "z": float(z[k])} for k in found]


def _held_out(
    prepared: Prepared,
    optimum: Optimum,
    rows: NDArray[np.intp],
    reasons: dict[str, str],
) -> dict[str, Any] | None:
    """The error on what --hold-out names, else on the largest budget when fitted without it."""
    problem, table = optimum.problem, prepared.fitted
    law = problem.law
    try:
        if prepared.held_out is not None:
            return _on_named(prepared, prepared.held_out, optimum)
        compute = table.numbers("flops" if "flops" in table else law.inputs[0])[rows]
        step = largest_step(problem, compute)
        refitted = usable(fit_law(without(problem, step), near=optimum))
        aim = Problem(law, problem.columns[:, step], problem.target[step], problem.asked)
        found = error(refitted, aim, [table.name(int(rows[k])) for k in step])
    except NoLaw as why:
        reasons["held_out"] = str(why)
        return None
    which = "flops" if "flops" in table else law.inputs[0]
    return found | {which: float(np.exp(np.log(compute[step]).mean())), "what": "largest budget"}


def _on_named(prepared: Prepared, table: Table, optimum: Optimum) -> dict[str, Any]:
    """The error on the rows that --hold-out names."""
    law, rows = optimum.problem.law, law_rows(table, optimum.problem.law)
    columns, target = columns_of(table, law)[:, rows], table.numbers(prepared.target)[rows]
    aim = Problem(law, columns, target, optimum.problem.asked)
    found = error(optimum, aim, [table.name(int(row)) for row in rows])
    if "flops" in table:
        found["flops"] = float(np.exp(np.log(table.numbers("flops")[rows]).mean()))
    return found | {"what": str(prepared.notes["hold_out"])}


def _frontier(table: Table, optimum: Optimum, draws: Resamples) -> Frontier | None:
    """How the law splits compute, where it is over N and D and the runs tell C."""
    if optimum.problem.law.inputs not in SPLIT or "flops" not in table:
        return None
    if not optimum.identifiable or not isinstance(optimum.problem.law, Additive):
        return None
    return frontier_of(table.numbers("flops"), optimum, draws)


def _why_no_split(optimum: Optimum, table: Table) -> str:
    if not optimum.identifiable:
        return _alike(optimum)
    if optimum.problem.law.inputs not in SPLIT:
        return "compute is split between n_params and images (or tokens), in this order of --terms"
    return f"{table.source} has no flops: --flops-per says how they follow from N and D"


def _split(
    optimum: Optimum, split: Frontier | None, table: Table, reasons: dict[str, str]
) -> dict[str, Any]:
    """The exponents of N* and D* and the frontier of a law of N and D, or why there are none."""
    if not isinstance(optimum.problem.law, Additive):
        return {}
    if split is None:
        reasons["split"] = _why_no_split(optimum, table)
        return {"a": None, "b": None, "flops_per_param_image": None, "frontier": None}
    return split.data()
