"""The figures of the laws: IsoFLOP curves, the frontier, N* and D*, predicted against measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vitladder.laws.forms import ParametricLaw, Vector
from vitladder.laws.isoflop import PowerLaw
from vitladder.laws.study import RunPoint, budgets
from vitladder.report.notation import law_formula, plain, power_of_ten, significant, superscript
from vitladder.report.style import (
    ACCENT,
    EDGE,
    INK,
    MUTED,
    Shades,
    colour_bar,
    figure,
    log_axis,
    loss_axis,
)

Fit = Mapping[str, Any]
MAX_LABELS = 7  # more budgets than this get a colour bar instead of a label each
EXTRAPOLATE = 4.0  # the frontier is drawn this far beyond the largest budget
JOIN: dict[str, Any] = {"lw": 0.8, "alpha": 0.45, "zorder": 1}  # all runs of a budget, faintly
STAR: dict[str, Any] = {"marker": "*", "s": 200, "zorder": 5, "linewidths": 0.9}


def isoflop_curves(runs: Sequence[RunPoint], fit: Fit) -> Figure:
    """Loss over N for each budget, with its parabola and its starred minimum."""
    fig = figure()
    axes = fig.subplots()
    groups = budgets(runs)
    shades = Shades([run.budget for run in runs])
    curved = {minimum["budget"] for minimum in _minima(fit) if not minimum["edge"]}
    for group in groups:
        colour = shades(group[0].budget)
        has_curve = any(abs(budget / group[0].budget - 1) < 0.01 for budget in curved)
        axes.plot(*_size_means(group), "-" if has_curve else ":", **JOIN, color=colour)
        axes.plot(*_by_size(group), "o", ms=5, color=colour, mew=0)
    for minimum in _minima(fit):
        _minimum(axes, minimum, shades)
    losses = [run.loss for run in runs] + [minimum["loss"] for minimum in _minima(fit)]
    sizes = [run.n_params for run in runs]
    loss_axis(axes, "y", losses, "validation loss")
    if len(groups) <= MAX_LABELS:
        log_axis(axes, "x", [*sizes, 1.7 * max(sizes)], "si", "parameters N")
        for group in groups:
            _label(axes, group, shades)
    else:
        log_axis(axes, "x", sizes, "si", "parameters N")
        colour_bar(fig, axes, shades, "training FLOPs C", "power")
    return fig


def _by_size(group: Sequence[RunPoint]) -> tuple[list[float], list[float]]:
    ordered = sorted(group, key=lambda run: run.n_params)
    return [run.n_params for run in ordered], [run.loss for run in ordered]


def _size_means(group: Sequence[RunPoint]) -> tuple[list[float], list[float]]:
    """Each size and its seeds' geometric mean of the loss."""
    sizes = sorted({run.n_params for run in group})
    seeds = [[run.loss for run in group if run.n_params == size] for size in sizes]
    return sizes, [float(np.exp(np.mean(np.log(losses)))) for losses in seeds]


def _label(axes: Axes, group: Sequence[RunPoint], shades: Shades) -> None:
    last = max(group, key=lambda run: run.n_params)
    axes.annotate(
        power_of_ten(last.budget),
        (last.n_params, last.loss),
        xytext=(8, 0),
        textcoords="offset points",
        va="center",
        color=shades(group[0].budget),
        fontsize=9.5,
    )


def _minimum(axes: Axes, minimum: Mapping[str, Any], shades: Shades) -> None:
    """A parabola and a filled star, or a hollow grey star where the lowest run is at an edge."""
    place = (minimum["n_params"], minimum["loss"])
    if minimum["edge"]:
        axes.scatter(*place, **STAR, facecolor="none", edgecolor=EDGE)
        return
    colour = shades(minimum["budget"])
    low, high = np.log(minimum["span"])
    log_n = np.linspace(float(low), float(high), 80)
    curve = np.exp(np.polyval(minimum["parabola"], log_n))
    axes.plot(np.exp(log_n), curve, color=colour, lw=1.6)
    axes.scatter(*place, **STAR, facecolor=colour, edgecolor="white")


def _minima(fit: Fit) -> list[Mapping[str, Any]]:
    law = (fit.get("laws") or {}).get("isoflop")
    return law["minima"] if law else []


def parametric_law(fit: Fit) -> tuple[ParametricLaw, float] | None:
    """The fitted parametric law and k in C = k N D, or None where no law splits compute."""
    law = (fit.get("laws") or {}).get("parametric")
    if law is None or law["a"] is None:
        return None
    params = {name: law["params"][name] for name in ("E", "A", "B", "alpha", "beta")}
    return ParametricLaw(**params), float(fit["flops_per_param_image"])


def frontier(runs: Sequence[RunPoint], fit: Fit) -> Figure:
    """Loss over C: all runs, the minima, and the law's compute-optimal curve with its formula."""
    fig = figure()
    axes = fig.subplots()
    shades = Shades([run.n_params for run in runs])
    flops, losses = [run.flops for run in runs], [run.loss for run in runs]
    axes.scatter(flops, losses, s=26, color=[shades(run.n_params) for run in runs], linewidths=0)
    interior = [minimum for minimum in _minima(fit) if not minimum["edge"]]
    if interior:
        places = [[m[name] for m in interior] for name in ("flops", "loss")]
        axes.scatter(*places, **STAR, facecolor=ACCENT, edgecolor="white", label="IsoFLOP minimum")
    reach = [min(flops), max(flops)]
    found = parametric_law(fit)
    if found:
        reach.append(EXTRAPOLATE * max(flops))
        losses += _optimal_curve(axes, *found, flops)
    log_axis(axes, "x", reach, "power", "training FLOPs C")
    loss_axis(axes, "y", losses, "validation loss")
    colour_bar(fig, axes, shades, "parameters N", "si")
    if found or interior:
        axes.legend(loc="upper right")
    return fig


def _optimal_curve(axes: Axes, law: ParametricLaw, k: float, flops: Sequence[float]) -> list[float]:
    """Draw the least loss at each C, dashed beyond the runs; return its ends."""
    for low, high, line, label in (
        (min(flops), max(flops), "-", "compute-optimal law"),
        (max(flops), EXTRAPOLATE * max(flops), "--", "extrapolated"),
    ):
        c = np.geomspace(low, high, 60)
        loss = law.loss(*law.optimal(c, k))
        axes.plot(c, loss, line, color=INK, lw=1.6, label=label)
    axes.text(
        0.03, 0.04, law_formula(law.params()), transform=axes.transAxes, fontsize=10, color=INK
    )
    first = float(law.loss(*law.optimal(np.array([min(flops)]), k))[0])
    return [first, float(loss[-1])]


def optimum(runs: Sequence[RunPoint], fit: Fit) -> Figure:
    """N* and D* over C: the minima, the power laws through them, and the parametric law's."""
    fig = figure((6.4, 4.3))
    left, right = fig.subplots(1, 2)
    law = fit["laws"]["isoflop"] or {}
    flops = np.geomspace(min(run.flops for run in runs), max(run.flops for run in runs), 40)
    found = parametric_law(fit)
    curves = found[0].optimal(flops, found[1]) if found else (None, None)
    for axes, column, k, exponent, curve, name in (
        (left, "n_params", "k", "a", curves[0], "parameters N*"),
        (right, "images", "k_images", "b", curves[1], "images D*"),
    ):
        power = PowerLaw(law[k], law[exponent]) if law.get(k) is not None else None
        letter = name[-2]
        _power_panel(axes, fit, column, power, curve, flops, letter)
        axes.set_ylabel(name)
    handles, labels = left.get_legend_handles_labels()
    if handles:
        fig.legend(handles, labels, loc="outside upper center", ncols=3)
    return fig


def _power_panel(
    axes: Axes,
    fit: Fit,
    column: str,
    power: PowerLaw | None,
    curve: Vector | None,
    flops: Vector,
    letter: str,
) -> None:
    """One of N* and D* over C."""
    values = [minimum[column] for minimum in _minima(fit)]
    for minimum in _minima(fit):
        face, edge = ("white", EDGE) if minimum["edge"] else (ACCENT, "white")
        axes.scatter(minimum["flops"], minimum[column], **STAR, facecolor=face, edgecolor=edge)
    if power:
        line = power.at(flops)
        axes.plot(flops, line, color=ACCENT, lw=1.6, label="through the minima")
        values += [float(line[0]), float(line[-1])]
        text = f"{letter}* = {significant(power.k)} C{superscript(plain(power.exponent))}"
        axes.set_title(text, loc="left")
    if curve is not None:
        axes.plot(flops, curve, "--", color=INK, lw=1.2, label="parametric law")
        values += [float(curve[0]), float(curve[-1])]
    log_axis(axes, "x", list(flops), "power", "training FLOPs C")
    log_axis(axes, "y", values, "si", "")


def predicted_against_measured(runs: Sequence[RunPoint], fit: Fit, law: ParametricLaw) -> Figure:
    """Measured over predicted loss; the held-out budget is predicted by the law without it."""
    fig = figure()
    axes = fig.subplots()
    held_out = (fit["held_out"] or {}).get("predicted", {})
    inside = [run for run in runs if run.run_key not in held_out]
    outside = [run for run in runs if run.run_key in held_out]
    sizes = np.array([run.n_params for run in inside])
    images = np.array([run.images for run in inside])
    expected = [float(loss) for loss in law.loss(sizes, images)]
    expected_outside = [held_out[run.run_key] for run in outside]
    losses = [run.loss for run in inside]
    losses_outside = [run.loss for run in outside]
    ends = [*expected, *expected_outside, *losses, *losses_outside]
    axes.plot([min(ends), max(ends)], [min(ends), max(ends)], color=EDGE, lw=1.0, zorder=1)
    axes.scatter(expected, losses, s=30, color=MUTED, linewidths=0, label="fitted")
    if outside:
        axes.scatter(
            expected_outside,
            losses_outside,
            s=42,
            marker="D",
            color=ACCENT,
            linewidths=0,
            label=f"held out: {power_of_ten(fit['held_out']['flops'])} FLOPs",
        )
    loss_axis(axes, "x", ends, "predicted validation loss")
    loss_axis(axes, "y", ends, "measured validation loss")
    axes.legend(loc="upper left")
    return fig
