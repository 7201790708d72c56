"""Which figures a study's page has, in order, each with its caption, or why it is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

from vitladder.laws.study import RunPoint
from vitladder.report import captions
from vitladder.report.chart import Drawing
from vitladder.report.choices import Choice, names_of_runs
from vitladder.report.comparison import comparison, drawable
from vitladder.report.learning import learning_curves, read_learning_curves
from vitladder.report.marks import FitData
from vitladder.report.optimum import POWERS, optimum, parametric_law
from vitladder.report.plots import frontier, isoflop_curves
from vitladder.report.predictions import (
    forecast_plot,
    predicted_loss,
    read_durations,
    read_memories,
)
from vitladder.report.run_plots import (
    Speed,
    read_speeds,
    roofline,
    throughput,
    under_the_roof,
    utilisation,
)
from vitladder.runs.record import Record

NO_RUNS = "There is no complete run to draw yet."
NAMES = (
    "isoflop",
    "frontier",
    "optimum_n",
    "optimum_d",
    "predicted",
    "durations",
    "memory",
    "comparison",
    "throughput",
    "mfu",
    "roofline",
    "roof",
    "learning",
)


@dataclass(frozen=True)
class PageFigure:
    """A figure of the page; `drawing` is None where `caption` says why there is none."""

    name: str
    title: str
    caption: str
    drawing: Drawing | None = None


@dataclass(frozen=True)
class Figures:
    """The figures of each section of the page."""

    laws: list[PageFigure] = field(default_factory=list)
    predicted: list[PageFigure] = field(default_factory=list)
    compared: list[PageFigure] = field(default_factory=list)
    speed: list[PageFigure] = field(default_factory=list)
    learning: list[PageFigure] = field(default_factory=list)

    def every(self) -> list[PageFigure]:
        """All of them, in the order of the page."""
        return [*self.laws, *self.predicted, *self.compared, *self.speed, *self.learning]

    def names(self) -> dict[str, list[str]]:
        """The names of the figures of each section."""
        return {
            one.name: [figure.name for figure in getattr(self, one.name)] for one in fields(self)
        }


def page_figures(
    folder: Path,
    records: Sequence[Record],
    runs: Sequence[RunPoint],
    fit: FitData,
    choices: Sequence[Choice],
) -> Figures:
    """All figures of a study."""
    # Of what is compared alone, so that each choice has its colour in every figure.
    named = names_of_runs(choices)
    speeds = [one for one in read_speeds(records) if not named or one.run_key in named]
    # Runs of several choices share no law, so there is none to draw.
    laws = [] if choices else _laws(runs, fit)
    predicted = [] if choices else [_predicted(runs, fit)]
    return Figures(
        laws=laws,
        predicted=[*predicted, _durations(records), _memory(records)],
        compared=[_comparison(choices)] if drawable(choices) else [],
        speed=[draw(speeds, named) for draw in (_throughput, _utilisation, _roof)],
        learning=[_learning_curves(folder, records, named)],
    )


def _laws(runs: Sequence[RunPoint], fit: FitData) -> list[PageFigure]:
    """IsoFLOP curves, the frontier, N* and D*."""
    titles = {
        "isoflop": "IsoFLOP curves",
        "frontier": "Loss over compute",
        "optimum_n": "Compute-optimal size N*",
        "optimum_d": "Compute-optimal data D*",
    }
    if not runs:
        return [PageFigure(name, title, NO_RUNS) for name, title in titles.items()]
    found = [
        PageFigure("isoflop", titles["isoflop"], captions.isoflop(fit), isoflop_curves(runs, fit)),
        PageFigure("frontier", titles["frontier"], captions.frontier(fit), frontier(runs, fit)),
    ]
    for name, column, axis in (
        ("optimum_n", "n_params", "parameters N*"),
        ("optimum_d", "images", "images D*"),
    ):
        if fit["laws"]["isoflop"] is None and parametric_law(fit) is None:
            reason = captions.no_law(fit, "isoflop")
            found.append(PageFigure(name, titles[name], reason))
            continue
        drawing = optimum(runs, fit, column, axis)
        found.append(
            PageFigure(name, titles[name], captions.optimum(fit, POWERS[column][0]), drawing)
        )
    return found


def _predicted(runs: Sequence[RunPoint], fit: FitData) -> PageFigure:
    name, title = "predicted", "Loss: predicted against measured"
    found = parametric_law(fit)
    if not runs or found is None:
        return PageFigure(name, title, captions.no_law(fit, "parametric") if runs else NO_RUNS)
    return PageFigure(name, title, captions.predicted(fit), predicted_loss(runs, fit, found[0]))


def _durations(records: Sequence[Record]) -> PageFigure:
    name, title = "durations", "Time: predicted against measured"
    durations, complete = read_durations(records), _complete(records)
    if not durations:
        return PageFigure(name, title, captions.no_time(complete) if complete else NO_RUNS)
    return PageFigure(name, title, captions.forecast(durations), forecast_plot(durations))


def _memory(records: Sequence[Record]) -> PageFigure:
    name, title = "memory", "Memory: predicted against measured"
    memories = read_memories(records)
    if not memories:
        complete = _complete(records)
        return PageFigure(name, title, captions.no_memory(complete) if complete else NO_RUNS)
    return PageFigure(name, title, captions.forecast(memories), forecast_plot(memories, "bytes"))


def _complete(records: Sequence[Record]) -> list[Record]:
    return [record for record in records if record.status == "complete"]


def _comparison(choices: Sequence[Choice]) -> PageFigure:
    return PageFigure("comparison", "Choices compared", captions.COMPARED, comparison(choices))


def _throughput(speeds: Sequence[Speed], choices: Mapping[str, str]) -> PageFigure:
    name, title = "throughput", "Throughput"
    if not speeds:
        return PageFigure(name, title, captions.NO_SPEED)
    return PageFigure(name, title, captions.THROUGHPUT, throughput(speeds, choices))


def _utilisation(speeds: Sequence[Speed], choices: Mapping[str, str]) -> PageFigure:
    name, title = "mfu", "Model FLOPs utilisation"
    if not any(speed.mfu for speed in speeds):
        return PageFigure(name, title, captions.NO_MFU if speeds else captions.NO_SPEED)
    drawing = utilisation(speeds, choices)
    return PageFigure(name, title, captions.speed(name, drawing, speeds), drawing)


def _roof(speeds: Sequence[Speed], choices: Mapping[str, str]) -> PageFigure:
    """The roofline, or the compute roof alone where traffic or bandwidth is not known."""
    name, title, draw = "roof", "Under the compute roof", under_the_roof
    if any(speed.intensity and speed.bandwidth and speed.peak for speed in speeds):
        name, title, draw = "roofline", "Roofline", roofline
    if not any(speed.peak for speed in speeds):
        return PageFigure(name, title, captions.NO_ROOF if speeds else captions.NO_SPEED)
    drawing = draw(speeds, choices)
    return PageFigure(name, title, captions.speed(name, drawing, speeds), drawing)


def _learning_curves(
    folder: Path, records: Sequence[Record], choices: Mapping[str, str]
) -> PageFigure:
    name, title = "learning", "Learning curves"
    curves = read_learning_curves(folder, records)
    if not curves:
        return PageFigure(name, title, "No metrics.csv holds a validation loss yet.")
    return PageFigure(
        name, title, captions.learning(curves, choices), learning_curves(curves, choices)
    )
