"""The table of runs says what each run did, to the digits that it has."""

from __future__ import annotations

from typing import Any

from vitladder.report import captions
from vitladder.report.tables import RUN_HEAD, run_cells
from vitladder.runs.record import Record, Results


def record(status: str = "complete", results: Results | None = None, **forecast: Any) -> Record:
    plan = {"n_params": 4000, "flops_target": 1.25e10, "flops": 1.25e10, "images": 26000}
    return Record("a", "s", status, {}, plan, results or Results(), {}, {}, "", forecast=forecast)


def shown(one: Record) -> dict[str, str]:
    """A run's row by the names of its columns."""
    [cells] = run_cells([one], {})
    return dict(zip(RUN_HEAD, [cell.text for cell in cells], strict=True))


def test_a_budget_has_three_digits() -> None:
    row = shown(record(results=Results(flops=1.25e10, images=26000)))
    assert (row["C target"], row["C actual"]) == ("1.25×10¹⁰", "1.25×10¹⁰")


def test_a_run_that_ended_early_shows_what_it_did() -> None:
    row = shown(record("diverged", Results(flops=1e9, images=2600)))
    assert (row["C target"], row["C actual"], row["D, images"]) == ("1.25×10¹⁰", "10⁹", "2.6k")
    row = shown(record("failed"))
    assert (row["C target"], row["C actual"], row["D, images"]) == ("1.25×10¹⁰", "–", "–")


def test_why_no_time_is_compared_is_what_the_runs_say() -> None:
    why = "the steps of compiled models are not measured"
    assert captions.no_time([record(why_no_time=why)]) == f"No prediction: {why}."
    assert captions.no_time([record(assumed=True, seconds=1.0)]) == captions.ASSUMED
    assert captions.no_time([record()]) == captions.NO_TIME
