"""From a study's folder to its laws: the one answer that the command and the page show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from vitladder.errors import UserError
from vitladder.laws.bootstrap import isoflop_intervals, parametric_intervals
from vitladder.laws.forms import FORM, Vector, flops_per_param_image
from vitladder.laws.isoflop import find_minima, size_and_data_laws
from vitladder.laws.parametric import NoLaw, ParametricFit, fit_parametric
from vitladder.laws.study import RunPoint, budgets, excluded, points, read_records, study_name
from vitladder.runs.record import Record

SCHEMA = 1
LOSS = "huber(1e-3) on log residuals"


def fit_study(folder: Path, *, bootstrap: int = 200, seed: int = 0) -> dict[str, Any]:
    """The laws of a study's complete runs, as plain data for JSON (no NaN; null with a reason).

    `bootstrap` is the number of draws behind each interval. Raises UserError where the folder holds
    no study or no complete run, or where `bootstrap` or `seed` is negative.
    """
    for name, value in (("bootstrap", bootstrap), ("seed", seed)):
        if value < 0:
            raise UserError(f"{name} is {value}: give a whole number, 0 or more")
    records = read_records(folder)
    runs = points(records)
    if not runs:
        raise UserError(_none_complete(records, folder))
    return _fit(records, runs, folder, bootstrap, seed)


def unfitted_study(folder: Path) -> dict[str, Any]:
    """The same shape for a study without a complete run, so that its page can be written."""
    records = read_records(folder)
    reason = f"no run is complete ({_counts(records)})"
    return {
        "schema": SCHEMA,
        "study": study_name(records, folder),
        "runs": 0,
        "excluded": excluded(records),
        "laws": {"parametric": None, "isoflop": None},
        "held_out": None,
        "flops_per_param_image": None,
        "reasons": dict.fromkeys(("parametric", "isoflop", "held_out"), reason),
    }


def _none_complete(records: Sequence[Record], folder: Path) -> str:
    study = study_name(records, folder)
    return (
        f"{folder} has no complete run yet ({_counts(records)}); "
        f"run `vitladder train -m +sweep={study}` first"
    )


def _counts(records: Sequence[Record]) -> str:
    return ", ".join(f"{count} {name}" for name, count in excluded(records).items() if count)


def _fit(
    records: Sequence[Record],
    runs: Sequence[RunPoint],
    folder: Path,
    bootstrap: int,
    seed: int,
) -> dict[str, Any]:
    reasons: dict[str, str] = {}
    n_params, images, _ = columns(runs)
    k = flops_per_param_image(n_params, images, np.array([run.flops for run in runs]))
    return {
        "schema": SCHEMA,
        "study": study_name(records, folder),
        "runs": len(runs),
        "excluded": excluded(records),
        "laws": {
            "parametric": _parametric(runs, k, bootstrap, seed, reasons),
            "isoflop": _isoflop(runs, bootstrap, seed, reasons),
        },
        "held_out": _held_out(runs, reasons),
        "flops_per_param_image": k,
        "reasons": reasons,
    }


def columns(runs: Sequence[RunPoint]) -> tuple[Vector, Vector, Vector]:
    """N, D and loss of the runs, each [runs]."""
    table = np.array([(run.n_params, run.images, run.loss) for run in runs])
    return table[:, 0], table[:, 1], table[:, 2]


def _fit_runs(runs: Sequence[RunPoint]) -> ParametricFit:
    return fit_parametric(*columns(runs))


def _parametric(
    runs: Sequence[RunPoint], k: float, bootstrap: int, seed: int, reasons: dict[str, str]
) -> dict[str, Any] | None:
    try:
        fit = _fit_runs(runs)
    except NoLaw as why:
        reasons["parametric"] = str(why)
        return None
    intervals = parametric_intervals(*columns(runs), fit.law, bootstrap, seed)
    if intervals.ci95 is None:
        reasons["parametric_ci95"] = _no_intervals(intervals.drawn, intervals.used)
    if fit.law.E == 0:
        reasons["parametric_bound"] = "E is 0: these runs show no loss that would remain"
    return {
        "form": FORM,
        "params": fit.law.params(),
        "objective": fit.objective,
        "loss": LOSS,
        "ci95": intervals.ci95,
        "a": fit.law.a,
        "b": fit.law.b,
        "flops_per_param_image": k,
        "resamples": {"drawn": intervals.drawn, "used": intervals.used, "of": "runs"},
    }


def _isoflop(
    runs: Sequence[RunPoint], bootstrap: int, seed: int, reasons: dict[str, str]
) -> dict[str, Any] | None:
    minima = find_minima(runs)
    if not minima:
        reasons["isoflop"] = "no budget has three sizes: an IsoFLOP curve needs them"
        return None
    size, data = size_and_data_laws(minima)
    found: dict[str, Any] = {"minima": [asdict(minimum) for minimum in minima]}
    found |= dict.fromkeys(("a", "k", "b", "k_images", "ci95", "resamples"))
    if size is None or data is None:
        interior = sum(not minimum.edge for minimum in minima)
        reasons["isoflop"] = (
            f"{interior} of {len(minima)} budgets with an interior minimum: N* over C needs two"
        )
        return found
    intervals = isoflop_intervals(runs, bootstrap, seed)
    if intervals.ci95 is None:
        reasons["isoflop_ci95"] = _no_intervals(intervals.drawn, intervals.used)
    return found | {
        "a": size.exponent,
        "k": size.k,
        "b": data.exponent,
        "k_images": data.k,
        "ci95": intervals.ci95,
        "resamples": {
            "drawn": intervals.drawn,
            "used": intervals.used,
            "same_budgets": intervals.same_budgets,
            "of": "runs within each budget",
        },
    }


def _held_out(runs: Sequence[RunPoint], reasons: dict[str, str]) -> dict[str, Any] | None:
    """The error on the largest budget of the law that was fitted without it.

    A residual is log measured - log predicted: a negative bias means a lower loss than predicted.
    """
    *smaller, largest = budgets(runs)
    try:
        law = _fit_runs([run for group in smaller for run in group]).law if smaller else None
    except NoLaw as why:
        reasons["held_out"] = f"without the largest budget: {why}"
        return None
    if law is None:
        reasons["held_out"] = "one budget: nothing is left to fit without it"
        return None
    n_params, images, loss = columns(largest)
    predicted = law.loss(n_params, images)
    residuals = np.log(loss) - np.log(predicted)
    return {
        "log_rmse": float(np.sqrt(np.mean(residuals**2))),
        "bias": float(np.mean(residuals)),
        "rows": len(largest),
        "flops": float(np.exp(np.mean(np.log([run.flops for run in largest])))),
        "params": law.params(),
        "predicted": {
            run.run_key: float(value) for run, value in zip(largest, predicted, strict=True)
        },
    }


def _no_intervals(drawn: int, used: int) -> str:
    if drawn == 0:
        return "no draws were asked for"
    return f"only {used} of {drawn} draws gave a law: the runs are too few or too alike"
