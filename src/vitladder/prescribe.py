"""`vitladder prescribe` and `suggest`: from a fit to what to train, as overrides of `train`."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vitladder.buildable import Base, Buildable, base_of, nearest, refuse_keys
from vitladder.errors import UserError
from vitladder.laws.design import Candidate, choose
from vitladder.laws.frontier import BEYOND, Frontier
from vitladder.laws.written import read_fit, read_frontier, read_runs

SIZES = np.geomspace(0.2, 5.0, 7)  # of the optimum, that a proposed run may have
BUDGETS = 6  # of compute, that proposed runs may have, up to the whole budget
CHEAPEST = 1 / 30  # of the budget
MOST_TRIES, NEAR = 6, 0.02  # until N* is for the k of the model that is built for it
OTHER_K = 1.1  # a factor from which a model's k is said to be another one than the runs'


@dataclass(frozen=True)
class Question:
    """A fit that was read, and what its models share."""

    path: Path
    split: Frontier
    fit: Mapping[str, Any]
    base: Base


def ask(path: Path, given: Sequence[str]) -> Question:
    """Read a fit, and compose what its models share. Raises UserError where either is wrong."""
    refuse_keys(given)
    fit = read_fit(path)
    config = fit.get("config")
    study = [f"study={fit['study']}"] if config else []
    return Question(path, read_frontier(fit, path), fit, base_of(config, [*study, *given]))


def prescribe(question: Question, flops: float) -> dict[str, Any]:
    """N*, D* and loss at C with intervals, and the nearest model that can be built."""
    _positive("--flops", flops)
    best, built, k = _optimum(question, flops)
    return {
        "flops": flops,
        "optimum": best,
        "unit": _unit(question),
        "flops_per_param_image": {"model": k, "runs": question.split.k},
        "times_the_largest_run": flops / question.split.flops[1],
        "within": {name: _factor(best, name) for name in ("n_params", "images")},
        "model": _model(question, built),
    }


def _optimum(question: Question, flops: float) -> tuple[dict[str, Any], Buildable, float]:
    """N* and D* at C for a model's own k of C = k N D, that model, and k.

    A model's k is not the runs' where it has other patches, or another size.
    """
    k = question.split.k
    for _ in range(MOST_TRIES):
        best = question.split.at(flops, k)
        built = nearest(question.base, best["n_params"], flops)
        one = _candidate(question, built)
        own = one.flops / (one.n_params * one.images)
        if abs(own / k - 1) < NEAR:
            break
        k = own
    return best, built, k


def suggest(question: Question, budget: float, target: float | None) -> dict[str, Any]:
    """The runs within a budget that narrow the interval of N* at the target most per FLOP."""
    _positive("--budget", budget)
    aim = target if target is not None else BEYOND * question.split.flops[1]
    _positive("--target", aim)
    n_params, seen, noise = read_runs(question.fit)
    if not noise > 0:
        raise UserError(f"{question.path}: the law goes exactly through its runs, without noise")
    models = _candidates(question, set(zip(n_params, seen, strict=True)), budget)
    if not models:
        low, high = question.split.flops
        raise UserError(
            f"--budget {budget:g}: no model trains with so much, other than those that did; the "
            f"runs took {low:.3g} to {high:.3g} FLOPs each"
        )
    candidates = [_candidate(question, model) for model in models]
    design = choose(question.split, (n_params, seen), noise, candidates, aim, budget)
    chosen = sorted((models[one] for one in design.chosen), key=lambda model: model.plan.flops)
    return {
        "budget": budget,
        "target": aim,
        "narrower": design.after / design.before,
        "flops": sum(model.plan.flops for model in chosen),
        "runs": [_model(question, model) for model in chosen],
    }


def _candidates(
    question: Question, done: set[tuple[float, float]], budget: float
) -> list[Buildable]:
    """Models around the optimum of budgets up to the whole one, that have not been trained."""
    found = dict[tuple[str, ...], Buildable]()
    for flops in np.geomspace(CHEAPEST * budget, budget, BUDGETS):
        rounded = float(f"{flops:.2g}")
        for size in question.split.at(rounded)["n_params"] * SIZES:
            try:
                model = nearest(question.base, float(size), rounded)
            except UserError:
                continue  # less than a step of it, or no such size: it is no candidate
            one = _candidate(question, model)
            if (one.n_params, one.images) not in done and one.flops <= budget:
                found[model.overrides] = model
    return list(found.values())


def _candidate(question: Question, model: Buildable) -> Candidate:
    """A model's N, D in what the law counts, and C."""
    seen = model.plan.images if _unit(question) == "images" else model.plan.tokens
    return Candidate(model.plan.n_params, seen, model.plan.flops)


def _unit(question: Question) -> str:
    """What D counts in the law: images or tokens."""
    return str(question.fit["laws"]["parametric"]["terms"][1])


def _model(question: Question, built: Buildable) -> dict[str, Any]:
    """A model, what the law says of it, and the overrides that train it."""
    plan, model, at = built.plan, built.config.model, _candidate(question, built)
    e, a, alpha, b, beta = question.split.law
    return {
        "width": model.width,
        "depth": model.depth,
        "heads": model.heads,
        "mlp_width": built.hidden,
        "patch": model.patch,
        "n_params": plan.n_params,
        "images": plan.images,
        "steps": plan.steps,
        "batch_size": built.config.data.batch_size,
        "flops": plan.flops,
        "loss": float(e + a * at.n_params**-alpha + b * at.images**-beta),
        "overrides": list(built.overrides),
    }


def _factor(best: Mapping[str, Any], name: str) -> float | None:
    """f such that the 95 % interval lies within a factor of f of the optimum; None without one."""
    if best["ci95"] is None:
        return None
    low, high = best["ci95"][name]
    return float(max(high / best[name], best[name] / low))


def _positive(option: str, value: float) -> None:
    if not 0 < value < math.inf:
        raise UserError(f"{option} {value:g}: give a number of FLOPs above 0")


def describe_prescription(found: Mapping[str, Any]) -> str:
    """A prescription in words."""
    best, model, within = found["optimum"], found["model"], found["within"]
    ci = best["ci95"] or {}
    names = {"N*": "n_params", f"D* ({found['unit']})": "images", "loss": "loss"}
    shown = [f"{letter} = {_value(best[name], ci.get(name))}" for letter, name in names.items()]
    how_far = found["times_the_largest_run"]
    reach = f"{how_far:.3g} times the largest run" if how_far > 1 else "within the runs"
    lines = [f"at C = {found['flops']:.3g} FLOPs ({reach}): {', '.join(shown)}"]
    if within["n_params"] is None:
        lines.append("  no interval: the fit has no draws")
    else:
        lines.append(
            f"  N* within x{within['n_params']:.3g} and D* within x{within['images']:.3g} at 95 %"
        )
    k = found["flops_per_param_image"]
    if max(k["model"] / k["runs"], k["runs"] / k["model"]) > OTHER_K:
        lines.append(
            f"  C = {k['model']:.3g} N D for this model and {k['runs']:.3g} N D for the runs: "
            "another patch or count of FLOPs; N* and D* are for this model's"
        )
    ratio = model["n_params"] / best["n_params"]
    lines.append(f"  nearest ViT ({ratio:.2f} x N*): {_shape(model)}")
    return "\n".join([*lines, f"  {_command(model)}"])


def describe_suggestion(found: Mapping[str, Any]) -> str:
    """A suggestion in words."""
    runs = found["runs"]
    if not runs:
        return f"no run within {found['budget']:.3g} FLOPs narrows N* at C = {found['target']:.3g}"
    head = (
        f"these runs, {found['flops']:.3g} FLOPs in all, narrow the interval of log N* at "
        f"C = {found['target']:.3g} to about {found['narrower']:.2f} of its width:"
    )
    return "\n".join([head, *(f"  {_shape(run)}\n    {_command(run)}" for run in runs)])


def _shape(model: Mapping[str, Any]) -> str:
    return (
        f"width {model['width']}, depth {model['depth']}, heads {model['heads']}, MLP width "
        f"{model['mlp_width']}, patch {model['patch']}: N = {model['n_params']:,}, "
        f"D = {model['images']:,} images in {model['steps']:,} steps of {model['batch_size']}, "
        f"loss {model['loss']:.3f}"
    )


def _command(model: Mapping[str, Any]) -> str:
    return shlex.join(["vitladder", "train", *model["overrides"]])


def _value(value: float, interval: Sequence[float] | None) -> str:
    if interval is None:
        return f"{value:.3g}"
    return f"{value:.3g} [{interval[0]:.3g}, {interval[1]:.3g}]"


def written(found: Mapping[str, Any]) -> str:
    """As JSON."""
    return json.dumps(found, indent=1, allow_nan=False)
