"""The page's first sentences: what the study found, how sure it is, and what it could not find."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from vitladder.laws.study import RunPoint, budgets
from vitladder.report.notation import percent, plain, power_of_ten

Fit = Mapping[str, Any]


def answer(runs: Sequence[RunPoint], fit: Fit) -> list[str]:
    """One to three sentences, plain text."""
    if not runs:
        return ["No run of this study is complete yet, so there is no law."]
    sentences = [_found(runs, fit), *_edges(fit)]
    return sentences if _one_reason(fit) else [*sentences, _held_out(fit)]


def _over(runs: Sequence[RunPoint]) -> str:
    groups = budgets(runs)
    low, high = power_of_ten(groups[0][0].budget), power_of_ten(groups[-1][0].budget)
    if len(runs) == 1:
        return f"From one complete run at {low} FLOPs"
    if len(groups) == 1:
        return f"From {len(runs)} complete runs at one budget ({low} FLOPs)"
    return f"From {len(runs)} complete runs at {len(groups)} budgets ({low} to {high} FLOPs)"


def _found(runs: Sequence[RunPoint], fit: Fit) -> str:
    isoflop, parametric = fit["laws"].get("isoflop"), fit["laws"].get("parametric")
    if parametric and parametric["a"] is None:
        parametric = None  # it cannot tell size from data in these runs
    if isoflop and isoflop["a"] is not None:
        return (
            f"{_over(runs)}, the best size grows as N* ∝ C^{_value(isoflop, 'a')} and the best "
            f"number of images as D* ∝ C^{_value(isoflop, 'b')}, by the minima of the IsoFLOP "
            "curves"
            + (
                f"; the parametric law says N* ∝ C^{_value(parametric, 'a')}."
                if parametric
                else "."
            )
        )
    if parametric:
        return (
            f"{_over(runs)}, the parametric law says N* ∝ C^{_value(parametric, 'a')} and "
            f"D* ∝ C^{_value(parametric, 'b')}; the IsoFLOP curves give no law "
            f"({fit['reasons']['isoflop']})."
        )
    if _one_reason(fit):
        return f"{_over(runs)}, no law can be fitted: {fit['reasons']['parametric']}."
    return (
        f"{_over(runs)}, no law can be fitted yet: {fit['reasons']['parametric']}; "
        f"{fit['reasons']['isoflop']}."
    )


def _one_reason(fit: Fit) -> bool:
    """Whether everything is missing for the same reason, which is then said once."""
    reasons = fit["reasons"]
    missing = [reasons.get(name) for name in ("parametric", "isoflop", "held_out")]
    return None not in missing and len(set(missing)) == 1


def _value(law: Mapping[str, Any], name: str) -> str:
    ci95 = law["ci95"] or {}
    if name not in ci95:
        return f"{plain(law[name], 2)} (no interval: too few runs)"
    low, high = ci95[name]
    return f"{plain(law[name], 2)} (95 % interval {plain(low, 2)} to {plain(high, 2)})"


def _edges(fit: Fit) -> list[str]:
    minima = (fit["laws"]["isoflop"] or {}).get("minima", [])
    sides = [minimum["reason"] for minimum in minima if minimum["edge"]]
    if not sides:
        return []
    count = f"{len(sides)} of {len(minima)} budgets"
    if all("smallest" in side for side in sides):
        return [f"At {count} the smallest size has the lowest loss: run smaller ones."]
    if all("largest" in side for side in sides):
        return [f"At {count} the largest size has the lowest loss: run larger ones."]
    return [f"{count} have no minimum between their sizes: run sizes around the lowest."]


def _held_out(fit: Fit) -> str:
    held_out = fit["held_out"]
    if held_out is None:
        return f"Nothing was held out ({fit['reasons']['held_out']})."
    rmse, bias = held_out["log_rmse"], math.expm1(held_out["bias"])
    count = "run" if held_out["rows"] == 1 else f"{held_out['rows']} runs"
    return (
        f"Fitted without the largest budget, the parametric law predicts its {count} at "
        f"{power_of_ten(held_out['flops'])} FLOPs with a log RMSE of "
        f"{plain(rmse)} (about {percent(math.expm1(rmse))}); measured losses are on average "
        f"{percent(abs(bias))} {'higher' if bias > 0 else 'lower'} than predicted."
    )
