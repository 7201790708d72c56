"""The figures of the runs themselves: speed over size, and learning curves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from vitladder.laws.study import positive, positive_cell
from vitladder.report.style import (
    EDGE,
    INK,
    SIZE,
    Shades,
    colour_bar,
    figure,
    log_axis,
    loss_axis,
)
from vitladder.runs.metrics import read_rows
from vitladder.runs.record import Record


@dataclass(frozen=True)
class Speed:
    """How fast one run trained; mfu is None where the device's peak is not known."""

    n_params: float
    images_per_s: float
    mfu: float | None


@dataclass(frozen=True)
class LearningCurve:
    """Validation loss over FLOPs of one run."""

    n_params: float
    complete: bool
    flops: list[float]
    loss: list[float]


def read_speeds(records: Sequence[Record]) -> list[Speed]:
    """The speeds of the runs that measured one."""
    speeds = []
    for record in records:
        n_params = positive(record.plan.get("n_params"))
        images_per_s = positive(record.results.images_per_s)
        if n_params is not None and images_per_s is not None:
            speeds.append(Speed(n_params, images_per_s, positive(record.results.mfu)))
    return speeds


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
            curves.append(LearningCurve(n_params, record.status == "complete", flops, loss))
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


def throughput(speeds: Sequence[Speed]) -> Figure:
    """Images per second over N, and MFU beside it where it was measured."""
    fig = figure(SIZE)
    measured = [speed for speed in speeds if speed.mfu is not None]
    sizes = [speed.n_params for speed in speeds]
    rates = [speed.images_per_s for speed in speeds]
    panels = fig.subplots(2 if measured else 1, 1, squeeze=False, sharex=True)[:, 0]
    panels[0].plot(sizes, rates, "o", ms=5, mew=0, color=INK, alpha=0.75)
    log_axis(panels[0], "x", sizes, "si", "" if measured else "parameters N")
    log_axis(panels[0], "y", rates, "si", "images/s")
    if measured:
        shares = [100 * (speed.mfu or 0.0) for speed in measured]
        panels[1].plot(
            [speed.n_params for speed in measured], shares, "o", ms=5, mew=0, color=INK, alpha=0.75
        )
        log_axis(panels[1], "x", sizes, "si", "parameters N")
        panels[1].set_ylim(0, 1.15 * max(shares))
        panels[1].set_ylabel("MFU, %")
    return fig


def learning_curves(curves: Sequence[LearningCurve]) -> Figure:
    """Validation loss over FLOPs of every run; runs that did not complete are grey."""
    fig = figure(SIZE)
    axes = fig.subplots()
    shades = Shades([curve.n_params for curve in curves])
    thin = 1.4 if len(curves) <= 40 else 0.8
    for curve in curves:
        colour = shades(curve.n_params) if curve.complete else EDGE
        line = "-" if curve.complete else "--"
        axes.plot(curve.flops, curve.loss, line, lw=thin, color=colour, alpha=0.85)
        axes.plot(curve.flops[-1], curve.loss[-1], "o", ms=3.5, mew=0, color=colour)
    flops = [c for curve in curves for c in curve.flops]
    losses = [loss for curve in curves for loss in curve.loss]
    log_axis(axes, "x", flops, "power", "training FLOPs C")
    loss_axis(axes, "y", losses, "validation loss")
    colour_bar(fig, axes, shades, "parameters N", "si")
    return fig
