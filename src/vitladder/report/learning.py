"""The figure of learning curves: validation loss over compute while each run trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vitladder.laws.study import positive, positive_cell
from vitladder.report.axes import Channel, log_axis, loss_axis
from vitladder.report.chart import (
    HOVER,
    Drawing,
    Layer,
    Row,
    Tips,
    chart,
    colour,
    dimmed,
    layer,
    toggled,
)
from vitladder.report.marks import LOSS, C, N
from vitladder.report.notation import power_of_ten, si
from vitladder.report.run_plots import by_choice
from vitladder.report.shades import shades
from vitladder.report.style import EDGE
from vitladder.runs.metrics import read_rows
from vitladder.runs.record import Record

MOST_POINTS = 6000  # of all curves together
WIDE_TIPS: Tips = (("run", "run"), ("choice", "choice"), ("state", "state"), ("n_params", "N"))
TIPS: Tips = (*WIDE_TIPS, ("C", "C"), ("loss", "loss"))
COLUMNS = ("run", "choice", "state", "n_params", "flops", "loss")


@dataclass(frozen=True)
class LearningCurve:
    """Validation loss over FLOPs of one run."""

    run_key: str
    status: str
    n_params: float
    flops: list[float]
    loss: list[float]


def read_learning_curves(folder: Path, records: Sequence[Record]) -> list[LearningCurve]:
    """The validation losses in each run's metrics.csv; a run without one has no curve.

    Raises UserError where one is no such table.
    """
    curves = []
    for record in records:
        n_params = positive(record.plan.get("n_params"))
        if n_params is None:
            continue
        flops, loss = _columns(folder / record.run_key)
        if flops:
            curves.append(LearningCurve(record.run_key, record.status, n_params, flops, loss))
    return curves


def _columns(run: Path) -> tuple[list[float], list[float]]:
    """flops and val_loss of the rows that have both."""
    flops, losses = [], []
    for row in read_rows(run):
        c, loss = positive_cell(row["flops"]), positive_cell(row["val_loss"])
        if c is not None and loss is not None:
            flops.append(c)
            losses.append(loss)
    return flops, losses


def learning_curves(curves: Sequence[LearningCurve], choices: Mapping[str, str]) -> Drawing:
    """Validation loss over FLOPs of every run; runs that did not complete are grey.

    `choices` are the runs' own where the study compares some, else the colours are of sizes.
    """
    named = shades([curve.n_params for curve in curves], si)
    most = max(2, MOST_POINTS // len(curves))
    rows = [
        row | {"size": named(row["n_params"]), "choice": choices.get(row["run"])}
        for curve in curves
        for row in _thinned(curve, most)
    ]
    whole = [row for row in rows if row["state"] == "complete"]
    broken = [row for row in rows if row["state"] != "complete"]
    each = {"detail": {"field": "run", "type": "nominal"}}
    line: dict[str, Any] = {"type": "line", "strokeWidth": 1.5 if len(curves) <= 40 else 0.8}
    dash = {**line, "strokeDash": [4, 3], "color": EDGE}
    compared = by_choice(choices)
    shade = {"color": compared.get("color") or colour("size", N, named.scale())}
    points = compared or shade
    dot = {"type": "point", "filled": True, "size": 22}
    layers = [
        *([layer(broken, dash, each)] if broken else []),
        layer(whole, line, each | shade | {"opacity": dimmed(0.85)}),
        toggled(
            layer(_last(whole), dot, points | {"opacity": dimmed()}, tips=_known(TIPS, whole)),
            shade["color"]["field"],
        ),
        *(
            [layer(_last(broken), {**dot, "color": EDGE}, tips=_known(TIPS, broken))]
            if broken
            else []
        ),
        # A thin line is hard to hover over, so each has a wide one that is not seen.
        *(wide(some, each) for some in (whole, broken) if some),
    ]
    x = log_axis("flops", C, [row["flops"] for row in rows], "power")
    y = loss_axis("loss", LOSS, [row["loss"] for row in rows])
    return Drawing(chart(layers, x, y), COLUMNS, rows)


def wide(rows: Sequence[Row], each: Mapping[str, Channel]) -> Layer:
    """Lines that are not seen and can be hovered over."""
    unseen = {"type": "line", "strokeWidth": 9, "opacity": 0}
    drawn = layer(rows, unseen, each, tips=_known(WIDE_TIPS, rows))
    return {**drawn, "description": HOVER}


def _known(tips: Tips, rows: Sequence[Row]) -> Tips:
    """The tips without the choice where no run has one."""
    return [tip for tip in tips if tip[0] != "choice" or any(row["choice"] for row in rows)]


def _thinned(curve: LearningCurve, most: int) -> list[Row]:
    """At most so many points of a curve, evenly over it, its first and last always."""
    count = len(curve.flops)
    steps = min(count, most) - 1
    kept = sorted({round(k * (count - 1) / steps) for k in range(steps + 1)}) if steps else [0]
    return [
        {
            "run": curve.run_key,
            "state": curve.status,
            "n_params": curve.n_params,
            "flops": curve.flops[k],
            "loss": curve.loss[k],
            "C": power_of_ten(curve.flops[k], 3),
        }
        for k in kept
    ]


def _last(rows: Sequence[Row]) -> list[Row]:
    """The last point of each run."""
    return list({row["run"]: row for row in rows}.values())
