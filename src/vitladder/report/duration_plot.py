"""The figure of time: what a run was predicted to take against what it took."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from vitladder.laws.study import positive
from vitladder.report.style import EDGE, INK, SIZE, figure, log_axis
from vitladder.runs.record import Record


@dataclass(frozen=True)
class Duration:
    """Seconds of one run, predicted before it started and measured."""

    predicted: float
    measured: float


def read_durations(records: Sequence[Record]) -> list[Duration]:
    """The times of the complete runs on machines whose costs had been measured."""
    found = []
    for record in records:
        if record.forecast.get("assumed"):
            continue
        predicted = positive(record.forecast.get("seconds"))
        measured = positive(record.times.get("seconds"))
        if record.status == "complete" and predicted is not None and measured is not None:
            found.append(Duration(predicted, measured))
    return found


def median_error(durations: Sequence[Duration]) -> float:
    """The median of |predicted / measured - 1|."""
    return statistics.median(abs(run.predicted / run.measured - 1) for run in durations)


def duration_plot(durations: Sequence[Duration]) -> Figure:
    """Predicted over measured seconds, with the line on which the prediction is right."""
    fig = figure(SIZE)
    axes = fig.subplots()
    predicted = [run.predicted for run in durations]
    measured = [run.measured for run in durations]
    ends = [min(predicted + measured), max(predicted + measured)]
    axes.plot(ends, ends, "-", lw=1, color=EDGE)
    axes.plot(measured, predicted, "o", ms=5, mew=0, color=INK, alpha=0.75)
    log_axis(axes, "x", ends, "si", "measured seconds")
    log_axis(axes, "y", ends, "si", "predicted seconds")
    return fig
