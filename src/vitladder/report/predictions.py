"""The figures of predictions: loss, time and memory of a run against what was measured."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vitladder.laws.forms import ParametricLaw
from vitladder.laws.study import RunPoint, positive
from vitladder.report.axes import log_axis, loss_axis
from vitladder.report.chart import (
    Drawing,
    Row,
    chart,
    colour,
    diagonal,
    dimmed,
    dots,
    layer,
    toggled,
)
from vitladder.report.marks import RUN_TIPS, run_row
from vitladder.report.notation import power_of_ten
from vitladder.report.style import ACCENT, EDGE, INK
from vitladder.runs.record import Record


@dataclass(frozen=True)
class Forecasted:
    """Seconds or bytes of one run, predicted before it started and measured."""

    predicted: float
    measured: float
    run_key: str = ""


def read_durations(records: Sequence[Record]) -> list[Forecasted]:
    """The times of the complete runs on machines whose costs had been measured."""
    found = []
    for record in records:
        if record.forecast.get("assumed"):
            continue
        predicted = positive(record.forecast.get("seconds"))
        measured = positive(record.times.get("seconds"))
        if record.status == "complete" and predicted is not None and measured is not None:
            found.append(Forecasted(predicted, measured, record.run_key))
    return found


def read_memories(records: Sequence[Record]) -> list[Forecasted]:
    """The peak bytes of the complete runs whose device counts its own: a CPU counts the process."""
    found = []
    for record in records:
        predicted = positive(record.forecast.get("peak_memory_bytes"))
        measured = positive(record.results.peak_memory_bytes)
        if record.status == "complete" and predicted and measured and not on_cpu(record):
            found.append(Forecasted(predicted, measured, record.run_key))
    return found


def on_cpu(record: Record) -> bool:
    """Whether a run was on a CPU, as one that does not say where."""
    return str(record.environment.get("device") or "cpu").startswith("cpu")


def median_error(runs: Sequence[Forecasted]) -> float:
    """The median of |predicted / measured - 1|."""
    return statistics.median(abs(run.predicted / run.measured - 1) for run in runs)


def forecast_plot(runs: Sequence[Forecasted], unit: str = "seconds") -> Drawing:
    """Predicted over measured, with the line on which the prediction is right."""
    predicted, measured = f"predicted_{unit}", f"measured_{unit}"
    rows: list[Row] = [
        {"run": run.run_key, measured: run.measured, predicted: run.predicted} for run in runs
    ]
    values = [row[name] for row in rows for name in (predicted, measured)]
    tips = (("run", "run"), (measured, f"measured {unit}"), (predicted, f"predicted {unit}"))
    x = log_axis(measured, f"measured {unit}", values)
    y = log_axis(predicted, f"predicted {unit}", values)
    layers = [diagonal(x, y, EDGE), layer(rows, dots(len(rows)), tips=tips)]
    return Drawing(chart(layers, x, y), ("run", measured, predicted), rows)


def predicted_loss(runs: Sequence[RunPoint], fit: Mapping[str, Any], law: ParametricLaw) -> Drawing:
    """Measured over predicted loss; the held-out budget is predicted by the law without it."""
    held_out = (fit["held_out"] or {}).get("predicted", {})
    kinds = {"fitted": INK}
    if held_out:
        kinds[f"held out: {power_of_ten(fit['held_out']['flops'], 3)} FLOPs"] = ACCENT
    fitted, outside = next(iter(kinds)), list(kinds)[-1]
    expected = law.loss(np.array([r.n_params for r in runs]), np.array([r.images for r in runs]))
    rows = [
        run_row(
            run,
            state=outside if run.run_key in held_out else fitted,
            predicted_loss=held_out.get(run.run_key, float(loss)),
        )
        for run, loss in zip(runs, expected, strict=True)
    ]
    ends = [row[name] for row in rows for name in ("loss", "predicted_loss")]
    scale = {"domain": list(kinds), "range": list(kinds.values())}
    shapes = {"domain": list(kinds), "range": ["circle", "diamond"][: len(kinds)]}
    shade = {"color": colour("state", "", scale), "opacity": dimmed(0.8)}
    shade["shape"] = {"field": "state", "type": "nominal", "scale": shapes}
    tips = (*RUN_TIPS, ("predicted_loss", "predicted loss"), ("state", " "))
    x = loss_axis("predicted_loss", "predicted validation loss", ends)
    y = loss_axis("loss", "measured validation loss", ends)
    runs_drawn = toggled(layer(rows, dots(len(rows)), shade, tips=tips), "state")
    spec = chart([diagonal(x, y, EDGE), runs_drawn], x, y)
    columns = ("run", "state", "n_params", "images", "flops", "loss", "predicted_loss")
    return Drawing(spec, columns, rows)
