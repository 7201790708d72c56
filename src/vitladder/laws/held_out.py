"""How well a law predicts runs that it has not seen: the largest budget, and rolling origins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitladder.laws.criterion import Vector
from vitladder.laws.law import NoLaw
from vitladder.laws.optimum import Optimum, Problem, fit_law
from vitladder.laws.steps import steps

ORIGINS = 3  # the last so many steps are each predicted from what lies before them
NO_RESIDUAL = 1e-30


def without(problem: Problem, rows: NDArray[np.intp]) -> Problem:
    """The problem without some rows."""
    keep = np.setdiff1d(np.arange(len(problem.target)), rows)
    return at_rows(problem, keep)


def at_rows(problem: Problem, rows: NDArray[np.intp]) -> Problem:
    """The problem of some rows."""
    return replace(problem, columns=problem.columns[:, rows], target=problem.target[rows])


def log_errors(optimum: Optimum, problem: Problem) -> Vector:
    """Log measured - log predicted of a problem's rows: negative where the loss is lower."""
    return np.asarray(np.log(problem.target) - np.log(optimum.predict(problem.columns)))


def largest_step(problem: Problem, compute: Vector) -> NDArray[np.intp]:
    """The rows of the largest budget. Raises NoLaw where there is no other."""
    found = steps(compute)
    if len(found) < 2:
        raise NoLaw("one budget: nothing is left to fit without it")
    return found[-1]


def error(optimum: Optimum, problem: Problem, names: Sequence[str]) -> dict[str, Any]:
    """A fitted law against rows that it was not fitted to."""
    predicted = optimum.predict(problem.columns)
    residuals = log_errors(optimum, problem)
    return {
        "log_rmse": float(np.sqrt(np.mean(residuals**2))),
        "bias": float(np.mean(residuals)),
        "rows": len(residuals),
        "params": optimum.params,
        "predicted": dict(zip(names, (float(x) for x in predicted), strict=True)),
    }


def usable(optimum: Optimum) -> Optimum:
    """The optimum. Raises NoLaw where it is no law."""
    problem = optimum.problem
    reason = problem.law.refuse(optimum.natural, problem.reach)
    if not np.isfinite([*optimum.natural, optimum.objective, optimum.gradient_norm]).all():
        reason = "no optimum was reached: numbers run away"
    if reason:
        raise NoLaw(reason)
    return optimum


@dataclass(frozen=True)
class Entrant:
    """A law in the tournament: its optimum, and which rows of the table it was fitted to."""

    optimum: Optimum
    rows: NDArray[np.intp]


def tournament(
    entrants: Sequence[Entrant], compute: Vector, targets: NDArray[np.intp]
) -> list[dict[str, Any]]:
    """Laws by their rolling-origin error, the best first.

    `compute` is that of all rows of the table, `targets` are the rows to predict. For each of the
    last steps up in compute, every law is fitted to its own rows in the steps below and predicts
    the targets in it. A law that has none at some origin has no error (None) and comes last.
    """
    table = [
        {
            "law": entrant.optimum.problem.law.name,
            "held_out_log_rmse": _rolling(entrant, compute, targets),
            "aicc": aicc(entrant.optimum),
            "fitted_rows": len(entrant.rows),
        }
        for entrant in entrants
    ]
    table.sort(key=lambda row: (row["held_out_log_rmse"] is None, row["held_out_log_rmse"] or 0.0))
    return table


def aicc(optimum: Optimum) -> float | None:
    """Corrected Akaike criterion of normal log residuals (Hurvich & Tsai 1989).

    None with too few rows for its correction. Comparable between laws of the same rows alone.
    """
    problem = optimum.problem
    count, parameters = len(problem.target), len(optimum.theta) + 1
    if count <= parameters + 1:
        return None
    mean_square = max(float(np.mean(log_errors(optimum, problem) ** 2)), NO_RESIDUAL)
    penalty = 2 * parameters + 2 * parameters * (parameters + 1) / (count - parameters - 1)
    return float(count * np.log(mean_square) + penalty)


def _rolling(entrant: Entrant, compute: Vector, targets: NDArray[np.intp]) -> float | None:
    """The log RMSE over the last origins, or None where one has no law."""
    problem = entrant.optimum.problem
    squares: list[float] = []
    found = steps(compute)
    for number in range(len(found))[1:][-ORIGINS:]:
        below = np.flatnonzero(np.isin(entrant.rows, np.concatenate(found[:number])))
        aims = np.intersect1d(targets, found[number])
        inside = np.flatnonzero(np.isin(entrant.rows, aims))
        try:
            fitted = usable(fit_law(at_rows(problem, below), near=entrant.optimum))
        except NoLaw:
            return None
        squares += (log_errors(fitted, at_rows(problem, inside)) ** 2).tolist()
    return float(np.sqrt(np.mean(squares))) if squares else None
