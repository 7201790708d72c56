"""Predicted against measured: of complete runs on machines and devices that tell."""

from __future__ import annotations

from typing import Any

import pytest

from vitladder.report.predictions import (
    Forecasted,
    forecast_plot,
    median_error,
    read_durations,
)
from vitladder.runs.record import Record, Results


def record(status: str = "complete", **forecast: Any) -> Record:
    return Record(
        run_key="a",
        study="s",
        status=status,
        config={},
        plan={},
        results=Results(),
        environment={},
        times={"seconds": 10.0},
        command="",
        forecast=forecast,
    )


def test_runs_without_a_measured_prediction_are_left_out() -> None:
    records = [
        record(seconds=11.0),
        record(seconds=9.0, assumed=True),
        record(seconds=None),
        record(),
        record(status="interrupted", seconds=9.0),
    ]
    assert read_durations(records) == [Forecasted(predicted=11.0, measured=10.0, run_key="a")]


def test_the_error_is_the_median_of_the_relative_ones() -> None:
    runs = [Forecasted(11, 10), Forecasted(8, 10), Forecasted(30, 10)]
    assert median_error(runs) == pytest.approx(0.2)
    drawing = forecast_plot(runs)
    assert [row["measured_seconds"] for row in drawing.rows] == [10, 10, 10]
    line, dots = drawing.spec["layer"]
    ends = drawing.spec["datasets"][line["data"]["name"]]
    assert ends[0]["measured_seconds"] == ends[0]["predicted_seconds"] < 8
    assert ends[-1]["measured_seconds"] == ends[-1]["predicted_seconds"] > 30
    # It bends where one axis is logarithmic, so that two points are not enough.
    assert len(ends) > 20
    assert all(row["measured_seconds"] == row["predicted_seconds"] for row in ends)
    assert dots["encoding"]["tooltip"][0]["field"] == "run"
