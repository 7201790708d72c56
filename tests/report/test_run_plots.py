"""The figures of the runs' speed: the roofline bounds what is drawn under it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitladder.compute.roofline import Roofline
from vitladder.report.run_plots import Speed, read_speeds, roofline, under_the_roof
from vitladder.runs.record import Record, Results

PEAK, BANDWIDTH = 1e11, 2e10


def speed(key: str, intensity: float | None, mfu: float = 0.25) -> Speed:
    return Speed(key, 4000.0, 900.0, mfu, mfu * PEAK, intensity, BANDWIDTH)


@given(st.lists(st.floats(0.1, 1000), min_size=1, max_size=5))
def test_the_roof_is_that_of_the_machine_and_reaches_over_all_runs(found: list[float]) -> None:
    drawing = roofline([speed(f"r{k}", value) for k, value in enumerate(found)], {})
    sets = drawing.spec["datasets"]
    [roof] = [rows for rows in sets.values() if "what" in rows[0] and len(rows) > 1]
    machine = Roofline(PEAK, BANDWIDTH)
    for corner in roof:
        attainable = machine.attainable(corner["intensity"])
        assert corner["flops_per_s"] == pytest.approx(attainable, rel=1e-5)
    assert roof[0]["intensity"] <= min(*found, machine.ridge) * (1 + 1e-5)
    assert roof[-1]["intensity"] >= max(*found, machine.ridge) * (1 - 1e-5)
    assert [row["intensity"] for row in drawing.rows] == found
    assert drawing.spec["encoding"]["x"]["scale"]["type"] == "log"


def test_a_run_whose_traffic_is_not_known_is_left_out() -> None:
    drawing = roofline([speed("known", 5.0), speed("unknown", None)], {})
    assert [row["run"] for row in drawing.rows] == ["known"]
    both = under_the_roof([speed("known", 5.0), speed("unknown", None)], {})
    assert [row["run"] for row in both.rows] == ["known", "unknown"]


def test_the_intensity_of_a_record_is_flops_of_a_step_over_its_bytes() -> None:
    record = Record(
        run_key="a",
        study="s",
        status="complete",
        config={"data": {"batch_size": 64}},
        plan={"n_params": 4000, "flops_per_image": 1e6},
        results=Results(images_per_s=100.0, mfu=0.5),
        environment={},
        times={},
        command="",
        forecast={"moved_bytes": 1.6e7, "bandwidth": BANDWIDTH},
    )
    [found] = read_speeds([record])
    assert found.intensity == pytest.approx(4.0)
    assert (found.peak, found.bandwidth) == (pytest.approx(2e8), BANDWIDTH)


def test_a_peak_is_as_exact_as_what_it_comes_from() -> None:
    fast = Speed("a", 4000.0, 900.0, 0.3, 0.3 * 312e12, 50.0, 2e12)
    drawing = roofline([fast], {})
    [roof] = [rows for rows in drawing.spec["datasets"].values() if len(rows) > 1]
    assert roof[-1]["flops_per_s"] == pytest.approx(312e12, rel=1e-4)
    assert "312 TFLOP/s" in roof[-1]["what"]
