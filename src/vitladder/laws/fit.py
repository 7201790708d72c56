"""From a study's folder to its laws: the one answer that the command and the page show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from vitladder.errors import UserError
from vitladder.laws.bootstrap import isoflop_intervals, parametric_intervals
from vitladder.laws.comparable import difference
from vitladder.laws.forms import FORM, ParametricLaw, Vector, flops_per_param_image
from vitladder.laws.isoflop import find_minima, size_and_data_laws
from vitladder.laws.parametric import NoLaw, ParametricFit, fit_parametric
from vitladder.laws.study import (
    RunPoint,
    budgets,
    excluded,
    points,
    read_records,
    study_name,
    usable,
)
from vitladder.runs.record import Record

SCHEMA = 1
LOSS = "huber(1e-3) on log residuals"


def fit_study(folder: Path, *, bootstrap: int = 200, seed: int = 0) -> dict[str, Any]:
    """The laws of a study's complete runs, as plain data for JSON (no NaN; null with a reason).

    `bootstrap` is the number of draws behind each interval. Raises UserError where the folder holds
    no study, no complete run, or runs that no law may pool, or where `bootstrap` or `seed` is
    negative.
    """
    for name, value in (("bootstrap", bootstrap), ("seed", seed)):
        if value < 0:
            raise UserError(f"{name} is {value}: give a whole number, 0 or more")
    records = read_records(folder)
    reason = _why_no_law(records)
    if reason:
        raise UserError(f"{folder}: {reason}; {_advice(records, folder)}")
    return _fit(records, folder, bootstrap, seed)


def unfitted_study(folder: Path) -> dict[str, Any]:
    """The same shape for a study that `fit_study` refuses, so that its page can be written."""
    records = read_records(folder)
    reason = _why_no_law(records) or "not fitted"
    return {
        "schema": SCHEMA,
        "study": study_name(records, folder),
        "runs": len(usable(records)),
        "excluded": excluded(records),
        "laws": {"parametric": None, "isoflop": None},
        "held_out": None,
        "flops_per_param_image": None,
        "reasons": dict.fromkeys(("parametric", "isoflop", "held_out"), reason),
    }


def fit_or_reasons(folder: Path, *, bootstrap: int = 200, seed: int = 0) -> dict[str, Any]:
    """What a page shows: `fit_study`, or `unfitted_study` where the runs can have no law.

    Raises UserError where the folder holds no study.
    """
    if _why_no_law(read_records(folder)):
        return unfitted_study(folder)
    return fit_study(folder, bootstrap=bootstrap, seed=seed)


def _why_no_law(records: Sequence[Record]) -> str | None:
    """Why these records can have no law at all, or None."""
    runs = usable(records)
    return difference(runs) if runs else f"no run is complete ({_counts(records)})"


def _advice(records: Sequence[Record], folder: Path) -> str:
    """What to do about runs that can have no law."""
    if usable(records):
        return "put them in different studies, with study=NAME"
    return f"run `vitladder train -m +sweep={study_name(records, folder)}` first"


def _counts(records: Sequence[Record]) -> str:
    return ", ".join(f"{count} {name}" for name, count in excluded(records).items() if count)


def _fit(records: Sequence[Record], folder: Path, bootstrap: int, seed: int) -> dict[str, Any]:
    runs, reasons = points(records), dict[str, str]()
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
    """N, D in images and loss in nats of the runs, each [runs]."""
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
    if intervals.reason:
        reasons["parametric_ci95"] = intervals.reason
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
    found: dict[str, Any] = {"minima": [asdict(minimum) for minimum in minima]}
    found |= dict.fromkeys(("a", "k", "b", "k_images", "ci95", "resamples"))
    size, data = size_and_data_laws(minima)
    if size is None or data is None:
        interior = sum(not minimum.edge for minimum in minima)
        reasons["isoflop"] = (
            f"{interior} of {len(minima)} budgets with an interior minimum: N* over C needs two"
        )
        return found
    found |= {"a": size.exponent, "k": size.k, "b": data.exponent, "k_images": data.k}
    return found | _isoflop_intervals(runs, bootstrap, seed, reasons)


def _isoflop_intervals(
    runs: Sequence[RunPoint], bootstrap: int, seed: int, reasons: dict[str, str]
) -> dict[str, Any]:
    intervals = isoflop_intervals(runs, bootstrap, seed)
    if intervals.reason:
        reasons["isoflop_ci95"] = intervals.reason
    return {
        "ci95": intervals.ci95,
        "resamples": {
            "drawn": intervals.drawn,
            "used": intervals.used,
            "same_budgets": intervals.same_budgets,
            "of": "residuals of the parabolas, pooled over budgets",
        },
    }


def _held_out(runs: Sequence[RunPoint], reasons: dict[str, str]) -> dict[str, Any] | None:
    """The error on the largest budget of the law that was fitted without it, or None."""
    *smaller, largest = budgets(runs)
    if not smaller:
        reasons["held_out"] = "one budget: nothing is left to fit without it"
        return None
    try:
        law = _fit_runs([run for group in smaller for run in group]).law
    except NoLaw as why:
        reasons["held_out"] = f"without the largest budget: {why}"
        return None
    return _error(law, largest)


def _error(law: ParametricLaw, runs: Sequence[RunPoint]) -> dict[str, Any]:
    """How far the law is from runs of one budget that it was not fitted to.

    A residual is log measured - log predicted: a negative bias means a lower loss than predicted.
    """
    n_params, images, loss = columns(runs)
    predicted = law.loss(n_params, images)
    residuals = np.log(loss) - np.log(predicted)
    return {
        "log_rmse": float(np.sqrt(np.mean(residuals**2))),
        "bias": float(np.mean(residuals)),
        "rows": len(runs),
        "flops": float(np.exp(np.mean(np.log([run.flops for run in runs])))),
        "params": law.params(),
        "predicted": {
            run.run_key: float(value) for run, value in zip(runs, predicted, strict=True)
        },
    }
