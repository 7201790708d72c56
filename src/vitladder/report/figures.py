"""Which figures a study's page has, in order, each with its caption, or why it is missing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from vitladder.laws.study import RunPoint
from vitladder.report.comparison import Choice, comparison, drawable, read_choices
from vitladder.report.duration_plot import duration_plot, median_error, read_durations
from vitladder.report.plots import (
    Fit,
    frontier,
    isoflop_curves,
    optimum,
    parametric_law,
    predicted_against_measured,
)
from vitladder.report.run_plots import (
    learning_curves,
    read_learning_curves,
    read_speeds,
    throughput,
)
from vitladder.report.style import RC
from vitladder.report.svg import to_svg
from vitladder.runs.record import Record

NO_RUNS = "There is no complete run to draw yet."


@dataclass(frozen=True)
class PageFigure:
    """A figure of the page; `svg` is None where `caption` says why there is nothing to draw."""

    name: str
    title: str
    caption: str
    svg: str | None


def page_figures(
    folder: Path, records: Sequence[Record], runs: Sequence[RunPoint], fit: Fit
) -> list[PageFigure]:
    """All figures of a study, the answer first."""
    choices = read_choices(records)
    if choices:
        # Runs of several choices share no law, so there is none to draw.
        found = [_comparison(choices)] if drawable(choices) else []
    else:
        found = [
            _isoflop(runs, fit),
            _frontier(runs, fit),
            _optimum(runs, fit),
            _predicted(runs, fit),
        ]
    return [*found, _learning_curves(folder, records), _throughput(records), _durations(records)]


def _drawn(name: str, title: str, caption: str, draw: Callable[[], Figure]) -> PageFigure:
    with matplotlib.rc_context(RC):
        return PageFigure(name, title, caption, to_svg(draw(), name, f"{title}. {caption}"))


def _comparison(choices: Sequence[Choice]) -> PageFigure:
    caption = (
        "Grey dots are runs, bars the mean over seeds; a difference below the dots' own spread "
        "says nothing."
    )
    return _drawn("comparison", "Choices compared", caption, lambda: comparison(choices))


def _isoflop(runs: Sequence[RunPoint], fit: Fit) -> PageFigure:
    name, title = "isoflop", "IsoFLOP curves"
    if not runs:
        return PageFigure(name, title, NO_RUNS, None)
    law = fit["laws"]["isoflop"]
    caption = (
        "Validation loss over model size, one colour per compute budget; thin lines join its runs."
    )
    if law is None:
        caption += f" No minima: {fit['reasons']['isoflop']}."
    else:
        edges = sum(minimum["edge"] for minimum in law["minima"])
        if edges < len(law["minima"]):
            caption += " Stars are the minima of parabolas of log loss in log N."
        if edges:
            caption += (
                f" Hollow grey stars ({edges} of {len(law['minima'])}) are the lowest runs of"
                " budgets without an interior minimum; no law uses them."
            )
    return _drawn(name, title, caption, lambda: isoflop_curves(runs, fit))


def _frontier(runs: Sequence[RunPoint], fit: Fit) -> PageFigure:
    name, title = "frontier", "Loss over compute"
    if not runs:
        return PageFigure(name, title, NO_RUNS, None)
    caption = "Every complete run, coloured by size."
    if parametric_law(fit):
        caption += (
            " The line is the least loss that the parametric law allows at each C, dashed where it"
            " extrapolates."
        )
    else:
        caption += f" No law drawn: {fit['reasons']['parametric']}."
    return _drawn(name, title, caption, lambda: frontier(runs, fit))


def _optimum(runs: Sequence[RunPoint], fit: Fit) -> PageFigure:
    name, title = "optimum", "Compute-optimal size and data"
    isoflop = (fit.get("laws") or {}).get("isoflop")
    if not runs or (isoflop is None and parametric_law(fit) is None):
        reasons = fit.get("reasons") or {}
        return PageFigure(name, title, _no_law(runs, reasons.get("isoflop")), None)
    caption = "N* and D* over training FLOPs."
    if isoflop and isoflop["a"] is not None:
        caption += " The solid line is the power law through the interior minima."
    elif isoflop:
        caption += f" No power law: {fit['reasons']['isoflop']}."
    if parametric_law(fit):
        caption += " The dashed line is where the parametric law has its optimum."
    return _drawn(name, title, caption, lambda: optimum(runs, fit))


def _predicted(runs: Sequence[RunPoint], fit: Fit) -> PageFigure:
    name, title = "predicted", "Predicted against measured"
    found = parametric_law(fit)
    if not runs or found is None:
        reasons = fit.get("reasons") or {}
        return PageFigure(name, title, _no_law(runs, reasons.get("parametric")), None)
    law = found[0]
    caption = "Each point is a run; on the line, the law is right."
    if fit["held_out"]:
        caption += " Diamonds: the largest budget, predicted by a law that was fitted without it."
    else:
        caption += f" Nothing is held out: {fit['reasons']['held_out']}."
    return _drawn(name, title, caption, lambda: predicted_against_measured(runs, fit, law))


def _learning_curves(folder: Path, records: Sequence[Record]) -> PageFigure:
    name, title = "learning", "Learning curves"
    curves = read_learning_curves(folder, records)
    if not curves:
        return PageFigure(name, title, "No metrics.csv holds a validation loss yet.", None)
    caption = "Validation loss while training, coloured by size."
    if not all(curve.complete for curve in curves):
        caption += " Grey and dashed: runs that did not complete."
    return _drawn(name, title, caption, lambda: learning_curves(curves))


def _throughput(records: Sequence[Record]) -> PageFigure:
    name, title = "throughput", "Speed over size"
    speeds = read_speeds(records)
    if not speeds:
        return PageFigure(name, title, "No run has measured its images per second yet.", None)
    missing = sum(speed.mfu is None for speed in speeds)
    caption = "Training images per second"
    if missing == len(speeds):
        caption += "; MFU is left out because the device's peak is not known."
    else:
        caption += " and model FLOPs utilisation (MFU) against the device's dense peak."
        caption += f" MFU is not known for {missing} of {len(speeds)} runs." if missing else ""
    return _drawn(name, title, caption, lambda: throughput(speeds))


def _durations(records: Sequence[Record]) -> PageFigure:
    name, title = "durations", "Predicted against measured time"
    durations = read_durations(records)
    if not durations:
        caption = "No prediction: `vitladder bench --machine` had not measured this machine before."
        return PageFigure(name, title, caption, None)
    caption = (
        f"Each point is a run; on the line, the plan was right. Median error "
        f"{100 * median_error(durations):.0f} %."
    )
    return _drawn(name, title, caption, lambda: duration_plot(durations))


def _no_law(runs: Sequence[RunPoint], reason: str | None) -> str:
    return f"No law to draw: {reason}." if runs and reason else NO_RUNS
