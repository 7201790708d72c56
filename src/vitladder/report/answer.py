"""The page's three sentences: the exponents, what to train next, and the held-out error."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vitladder.laws.frontier import BEYOND
from vitladder.laws.study import RunPoint, budgets
from vitladder.report.marks import FitData
from vitladder.report.notation import percent, plain, power_of_ten, si, superscript
from vitladder.report.optimum import POWERS, power_law

LETTERS = {"a": "N*", "b": "D*"}
NAMES = {"isoflop": "the minima", "parametric": "the parametric law"}


def answer(runs: Sequence[RunPoint], fit: FitData) -> list[str]:
    """Three sentences, plain text; one where all three are missing for the same reason."""
    if not runs:
        return ["No run of this study is complete yet, so there is no law."]
    if _one_reason(fit):
        return [_found(runs, fit)]
    found = " ".join([_found(runs, fit), *_disagreement(fit), *_edges(fit)])
    return [found, _prescription(runs, fit), _held_out(fit)]


def _over(runs: Sequence[RunPoint]) -> str:
    groups = budgets(runs)
    low, high = (power_of_ten(group[0].budget, 3) for group in (groups[0], groups[-1]))
    if len(runs) == 1:
        return f"From one complete run at {low} FLOPs"
    if len(groups) == 1:
        return f"From {len(runs)} complete runs at one budget ({low} FLOPs)"
    return f"From {len(runs)} complete runs at {len(groups)} budgets ({low} to {high} FLOPs)"


def _found(runs: Sequence[RunPoint], fit: FitData) -> str:
    """The exponents of N* and D*, or why there are none."""
    isoflop, parametric = fit["laws"].get("isoflop"), fit["laws"].get("parametric")
    if parametric and parametric["a"] is None:
        parametric = None  # it cannot tell size from data in these runs
    if isoflop and isoflop["a"] is not None:
        also = f"; the parametric law says {_grows(parametric, 'a')}" if parametric else ""
        return (
            f"{_over(runs)}, the best size grows as {_grows(isoflop, 'a')} and the best "
            f"number of images as {_grows(isoflop, 'b')}, by the minima of the IsoFLOP "
            f"curves{also}{_no_interval(fit, isoflop=isoflop, parametric=parametric)}."
        )
    if parametric:
        return (
            f"{_over(runs)}, the parametric law says {_grows(parametric, 'a')} and "
            f"{_grows(parametric, 'b')}{_no_interval(fit, parametric=parametric)}; the "
            f"IsoFLOP curves give no law ({_why(fit, 'isoflop')})."
        )
    if _one_reason(fit):
        return f"{_over(runs)}, no law can be fitted: {fit['reasons']['parametric']}."
    return (
        f"{_over(runs)}, no law can be fitted yet: {_why(fit, 'parametric')}; "
        f"{_why(fit, 'isoflop')}."
    )


def _no_interval(fit: FitData, **laws: Mapping[str, Any] | None) -> str:
    """Why these laws have no intervals; nothing where all have."""
    lacking = [name for name, law in laws.items() if law and "a" not in (law["ci95"] or {})]
    said = [
        f"{NAMES[name]}: {fit['reasons'].get(f'{name}_ci95') or 'no draws were made'}"
        for name in lacking
    ]
    return f" (no interval for {'; nor for '.join(said)})" if said else ""


def _disagreement(fit: FitData) -> list[str]:
    """That the two laws' intervals of the exponent do not meet, where it is so."""
    pairs = fit.get("disagreement") or []
    if any(set(pair["laws"]) == {"parametric", "isoflop"} for pair in pairs):
        return ["The two disagree beyond their intervals."]
    return []


def _one_reason(fit: FitData) -> bool:
    """Whether everything is missing for the same reason, which is then said once."""
    reasons = fit["reasons"]
    missing = [reasons.get(name) for name in ("parametric", "isoflop", "held_out")]
    return None not in missing and len(set(missing)) == 1


def _grows(law: Mapping[str, Any], name: str) -> str:
    """The power of C that N* (a) or D* (b) grows as, kept on one line, and its interval."""
    power = f"C{superscript(plain(law[name], 2))}"
    said, ci95 = f"{LETTERS[name]}\u00a0∝\u00a0{power}", law["ci95"] or {}
    if name not in ci95:
        return said
    low, high = ci95[name]
    return f"{said} (95 % interval {plain(low, 2)} to {plain(high, 2)})"


def _prescription(runs: Sequence[RunPoint], fit: FitData) -> str:
    """What to train at ten times the largest budget."""
    law = fit["laws"].get("parametric") or {}
    if law.get("frontier"):
        best = law["frontier"][-1]
        ci95 = best["ci95"] or {}
        size, images = (_sized(best[name], ci95.get(name)) for name in ("n_params", "images"))
        return (
            f"{_with(best['flops'])} the parametric law says to train {_equal('N*', size)} "
            f"parameters on {_equal('D*', images)} images, and expects a validation loss of "
            f"{_loss(best['loss'], ci95.get('loss'))}{_beyond(runs, best)}{_otherwise(fit, best)}."
        )
    flops = BEYOND * max(run.budget for run in runs)
    if power_law(fit, "n_params") is None:
        return f"{_with(flops)} no law says yet what to train: {_why(fit, 'parametric')}."
    size, images = _by_minima(fit, flops)
    return (
        f"{_with(flops)} the IsoFLOP minima say to train {_equal('N*', size)} parameters on "
        f"{_equal('D*', images)} images; they tell no loss, and there is no parametric law "
        f"({_why(fit, 'parametric')})."
    )


def _beyond(runs: Sequence[RunPoint], best: Mapping[str, Any]) -> str:
    """How far the prescribed size lies outside of the sizes that were run."""
    size, sizes = best["n_params"], [run.n_params for run in runs]
    if size > max(sizes):
        return f"; N* is {plain(size / max(sizes), 1)} times the largest size that was run"
    if size < min(sizes):
        return f"; N* is {plain(size / min(sizes), 2)} of the smallest size that was run"
    return ""


def _otherwise(fit: FitData, best: Mapping[str, Any]) -> str:
    """What the other approach prescribes."""
    if power_law(fit, "n_params") is None:
        return ""
    size, images = _by_minima(fit, best["flops"])
    return f"; the IsoFLOP minima say {_equal('N*', size)} and {_equal('D*', images)}"


def _by_minima(fit: FitData, flops: float) -> list[str]:
    """N* and D* of the power laws through the minima."""
    laws = [law for column in POWERS if (law := power_law(fit, column)) is not None]
    return [si(float(law.at(np.array([flops]))[0])) for law in laws]


def _with(flops: float) -> str:
    return f"With ten times the largest budget ({power_of_ten(flops, 3)} FLOPs),"


def _equal(letter: str, value: str) -> str:
    """Kept on one line."""
    return f"{letter}\u00a0=\u00a0{value}"


def _why(fit: FitData, name: str) -> str:
    return str(fit["reasons"].get(name) or "it cannot tell size from data in these runs")


def _sized(value: float, ci95: Sequence[float] | None) -> str:
    interval = f" (95 % interval {si(ci95[0])} to {si(ci95[1])})" if ci95 else ""
    return f"{si(value)}{interval}"


def _loss(value: float, ci95: Sequence[float] | None) -> str:
    interval = f" ({plain(ci95[0])} to {plain(ci95[1])})" if ci95 else ""
    return f"{plain(value)}{interval}"


def _edges(fit: FitData) -> list[str]:
    """What to run where budgets have no minimum between their sizes: a sentence, or none."""
    minima = ((fit.get("laws") or {}).get("isoflop") or {}).get("minima", [])
    sides = [minimum["reason"] for minimum in minima if minimum["edge"]]
    if not sides:
        return []
    count = f"{len(sides)} of {len(minima)} budgets"
    if all("smallest" in side for side in sides):
        return [f"At {count} the smallest size has the lowest loss: run smaller ones."]
    if all("largest" in side for side in sides):
        return [f"At {count} the largest size has the lowest loss: run larger ones."]
    return [f"{count} have no minimum between their sizes: run sizes around the lowest."]


def _held_out(fit: FitData) -> str:
    held_out = fit["held_out"]
    if held_out is None:
        return f"Nothing was held out ({fit['reasons']['held_out']})."
    rmse, bias = held_out["log_rmse"], math.expm1(held_out["bias"])
    count = "run" if held_out["rows"] == 1 else f"{held_out['rows']} runs"
    return (
        f"Fitted without the largest budget, the parametric law predicts its {count} at "
        f"{power_of_ten(held_out['flops'], 3)} FLOPs with a log RMSE of "
        f"{plain(rmse)} (about {percent(math.expm1(rmse))}); measured losses are on average "
        f"{percent(abs(bias))} {'higher' if bias > 0 else 'lower'} than predicted."
    )
