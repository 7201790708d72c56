"""The approaches that read the optimum off the runs, as plain data: IsoFLOP and the envelope."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from vitladder.laws.bootstrap import isoflop_intervals
from vitladder.laws.envelope import Envelope, envelope, learning_curves
from vitladder.laws.isoflop import (
    MIN_SIZES,
    Minimum,
    akima_laws,
    find_minima,
    size_and_data_laws,
    size_curve,
)
from vitladder.laws.law import NoLaw
from vitladder.laws.resample import MIN_USED, interval, pair_weights, spread
from vitladder.laws.study import RunPoint, budgets
from vitladder.laws.table import Table

NAMES = ("isoflop", "envelope")
SHOWN_FRONTIER = 60  # points of an envelope that an answer holds


def isoflop(
    runs: Sequence[RunPoint], drawn: int, seed: int, reasons: dict[str, str]
) -> dict[str, Any]:
    """Approach 2. Raises NoLaw where no budget has a curve; without two minima a, b, k are None."""
    minima = find_minima(runs)
    inside = sum(len(group) for group in budgets(runs) if _is_curve(group))
    if minima and inside < len(runs) / 2:
        raise NoLaw("the runs do not fall into budgets of several sizes: most have compute alone")
    if not minima:
        raise NoLaw("no budget has three sizes: an IsoFLOP curve needs them")
    found: dict[str, Any] = {"minima": [asdict(minimum) for minimum in minima]}
    found |= dict.fromkeys(("a", "k", "b", "k_images", "akima", "se", "ci95", "resamples"))
    size, data = size_and_data_laws(minima)
    if size is None or data is None:
        interior = sum(not minimum.edge for minimum in minima)
        reasons["isoflop"] = (
            f"{interior} of {len(minima)} budgets with an interior minimum: N* over C needs two"
        )
        return found
    found |= {"a": size.exponent, "k": size.k, "b": data.exponent, "k_images": data.k}
    found["akima"] = _akima(minima)
    intervals = isoflop_intervals(runs, drawn, seed)
    if intervals.reason:
        reasons["isoflop_ci95"] = intervals.reason
    resamples = {
        "drawn": intervals.drawn,
        "used": intervals.used,
        "same_budgets": intervals.same_budgets,
        "of": "residuals of the parabolas, pooled over budgets",
    }
    return found | {"se": intervals.se, "ci95": intervals.ci95, "resamples": resamples}


def of_sizes_alone(found: dict[str, Any]) -> dict[str, Any]:
    """An IsoFLOP answer without what needs D, for runs that do not say it."""
    of_data = ("b", "k_images")
    for name in ("se", "ci95", "akima"):
        known = found[name] or {}
        found[name] = {key: x for key, x in known.items() if key not in of_data} or None
    for minimum in found["minima"]:
        minimum["images"] = None
        if minimum["akima"] is not None:
            size, _, loss = minimum["akima"]
            minimum["akima"] = (size, None, loss)
    return found | dict.fromkeys(of_data)


def _is_curve(group: Sequence[RunPoint]) -> bool:
    return len(size_curve(group).n_params) >= MIN_SIZES


def _akima(minima: Sequence[Minimum]) -> dict[str, float] | None:
    """The power laws through the minima of Akima's interpolation instead of parabolas."""
    size, data = akima_laws(minima)
    if size is None or data is None:
        return None
    return {"a": size.exponent, "k": size.k, "b": data.exponent, "k_images": data.k}


def envelope_law(table: Table, drawn: int, seed: int, reasons: dict[str, str]) -> dict[str, Any]:
    """Approach 1, with intervals from drawing runs. Raises NoLaw where there is no frontier."""
    found = envelope(learning_curves(table))
    size, data = found.laws()
    if size is None or data is None:
        raise NoLaw("fewer than two sizes are best between smaller and larger ones: run more sizes")
    draws = _drawn_exponents(found, drawn, seed)
    used = len(draws["a"])
    enough = drawn > 0 and used >= MIN_USED * drawn
    if not enough:
        reasons["envelope_ci95"] = f"only {used} of {drawn} draws gave a law"
    return {
        "a": size.exponent,
        "k": size.k,
        "b": data.exponent,
        "k_images": data.k,
        "se": {name: spread(values) for name, values in draws.items()} if enough else None,
        "ci95": {name: interval(values) for name, values in draws.items()} if enough else None,
        "resamples": {"drawn": drawn, "used": used, "of": "runs"},
        "frontier": _frontier(found),
    }


def _drawn_exponents(found: Envelope, drawn: int, seed: int) -> dict[str, np.ndarray[Any, Any]]:
    exponents = []
    for weights in pair_weights(len(found.curves), drawn, seed):
        size, data = found.laws(weights > 0)
        if size is not None and data is not None:
            exponents.append((size.exponent, data.exponent))
    a, b = np.array(exponents).reshape(-1, 2).T
    return {"a": a, "b": b}


def _frontier(found: Envelope) -> list[dict[str, Any]]:
    """Some points of the frontier, evenly in log C."""
    best = found.best()
    points = np.unique(np.linspace(0, len(found.flops) - 1, SHOWN_FRONTIER).astype(int))
    return [
        {
            "flops": float(found.flops[point]),
            "n_params": found.curves[best[point]].n_params,
            "images": float(found.images[best[point], point]),
            "loss": float(found.losses[best[point], point]),
            "run": found.curves[best[point]].run,
        }
        for point in points
    ]
