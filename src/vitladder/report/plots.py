"""The figures of the laws: IsoFLOP curves, and loss over compute with its frontier."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vitladder.laws.study import RunPoint, budgets
from vitladder.report.axes import log_axis, loss_axis
from vitladder.report.chart import Drawing, Row, chart, colour, dimmed, dots, layer, toggled
from vitladder.report.marks import (
    COLUMNS,
    LOSS,
    RUN_TIPS,
    C,
    FitData,
    N,
    minima,
    minimum_row,
    minimum_rows,
    run_row,
    stars,
)
from vitladder.report.notation import law_formula, power_of_ten, si
from vitladder.report.optimum import band, optimal_lines, optimal_rows, parametric_law
from vitladder.report.shades import Shades, shades

Groups = Sequence[Sequence[RunPoint]]
CURVE_POINTS = 1200  # of all parabolas together, at most


def isoflop_curves(runs: Sequence[RunPoint], fit: FitData) -> Drawing:
    """Loss over N for each budget, with its parabola and its starred minimum."""
    groups = budgets(runs)
    named = shades([group[0].budget for group in groups], lambda value: power_of_ten(value, 3))
    points = [run_row(run, budget=named(group[0].budget)) for group in groups for run in group]
    inner = [_of_budget(minimum, groups, named) for minimum in minima(fit) if not minimum["edge"]]
    _, edges = minimum_rows(fit)
    curves = _parabolas(inner, fit)
    shade = {"color": colour("budget", C, named.scale())}
    joined: dict[str, Any] = {"type": "line", "strokeWidth": 1, "strokeDash": [2, 3]}
    each = {"detail": {"field": "budget_flops", "type": "nominal"}}
    layers = [
        layer(_joins(groups, named), joined, shade | each | {"opacity": dimmed(0.55)}),
        layer(curves, {"type": "line", "strokeWidth": 2}, shade | each | {"opacity": dimmed()}),
        toggled(
            layer(points, dots(len(runs)), shade | {"opacity": dimmed(0.9)}, tips=RUN_TIPS),
            "budget",
        ),
        *stars(inner, edges, shade | {"opacity": dimmed()}),
    ]
    losses = [row["loss"] for row in (*points, *inner, *edges, *curves)]
    sizes = [run.n_params for run in runs]
    spec = chart(layers, log_axis("n_params", N, sizes), loss_axis("loss", LOSS, losses))
    return Drawing(spec, COLUMNS, [*points, *inner, *edges, *curves])


def _of_budget(minimum: Mapping[str, Any], groups: Groups, named: Shades) -> Row:
    """A minimum with the colour of its budget's runs."""
    own = min((group[0].budget for group in groups), key=lambda c: abs(c - minimum["budget"]))
    return minimum_row(minimum, budget=named(own), budget_flops=own)


def _joins(groups: Groups, named: Shades) -> list[Row]:
    """Each budget's sizes with the geometric mean of the loss over seeds, which a line joins."""
    rows = []
    for group in groups:
        for size in sorted({run.n_params for run in group}):
            seeds = [run.loss for run in group if run.n_params == size]
            loss = float(np.exp(np.mean(np.log(seeds))))
            row = {"n_params": size, "loss": loss, "budget_flops": group[0].budget}
            rows.append(row | {"budget": named(group[0].budget)})
    return rows


def _parabolas(inner: Sequence[Row], fit: FitData) -> list[Row]:
    """The parabola of each interior minimum over the sizes that it was fitted to."""
    rows = []
    fitted = [minimum for minimum in minima(fit) if not minimum["edge"]]
    for row, minimum in zip(inner, fitted, strict=True):
        low, high = (float(end) for end in np.log(minimum["span"]))
        log_n = np.linspace(low, high, max(9, min(41, CURVE_POINTS // len(inner))))
        losses = np.exp(np.polyval(minimum["parabola"], log_n))
        own = {"what": "parabola"} | {name: row[name] for name in ("budget_flops", "budget")}
        for size, loss in zip(np.exp(log_n), losses, strict=True):
            rows.append({**own, "n_params": float(size), "loss": float(loss)})
    return rows


def frontier(runs: Sequence[RunPoint], fit: FitData) -> Drawing:
    """Loss over C: all runs, the minima, and the law's compute-optimal curve with its formula."""
    named = shades([run.n_params for run in runs], si)
    points = [run_row(run, size=named(run.n_params)) for run in runs]
    curve = optimal_rows(runs, fit)
    inner, _ = minimum_rows(fit)
    shade = {"color": colour("size", N, named.scale())}
    layers = [
        *band(curve, "loss"),
        *optimal_lines(curve),
        toggled(
            layer(points, dots(len(runs)), shade | {"opacity": dimmed(0.9)}, tips=RUN_TIPS), "size"
        ),
        *stars(inner, []),
    ]
    reach = [row["flops"] for row in (*points, *curve)]
    ends = [row[end] for row in curve for end in ("loss", "low_loss", "high_loss") if row.get(end)]
    losses = loss_axis("loss", LOSS, [*(run.loss for run in runs), *ends])
    found = parametric_law(fit)
    title = law_formula(found[0].params()) if found else ""
    spec = chart(layers, log_axis("flops", C, reach, "power"), losses, title)
    return Drawing(spec, (*COLUMNS, "low_loss", "high_loss"), [*points, *inner, *curve])
