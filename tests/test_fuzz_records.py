"""Whatever record.json holds, it is a record or one line, and no reader of it breaks."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from anything import any_json, is_one_line, mutated, mutated_bytes
from hypothesis import example, given, settings
from hypothesis import strategies as st
from laws_study import write_run

from vitladder.errors import UserError
from vitladder.laws.fit import fit_or_reasons, fit_sources
from vitladder.laws.request import Request
from vitladder.report import provenance, tables
from vitladder.report.choices import read_choices
from vitladder.report.comparison import comparison_rows
from vitladder.report.page import write_page
from vitladder.report.predictions import read_durations
from vitladder.report.run_plots import read_speeds
from vitladder.runs.record import Record, read_record
from vitladder.runs.sweep import Place, print_summary

STUDY = Path("outputs/study")
SOUND: dict[str, Any] = {
    "schema": 1,
    "run_key": "a",
    "study": "study",
    "status": "complete",
    "config": {
        "model": {"width": 16, "depth": 1, "heads": 2, "kv_heads": 1, "patch": 2},
        "attention": {"name": "sdpa", "backend": "any"},
        "data": {"name": "digits", "path": None},
        "compute": {"flops": 1e10},
        "logger": {"name": "csv"},
        "tune": True,
    },
    "plan": {"n_params": 4000, "flops": 1e10, "flops_target": 1e10, "images": 26000},
    "results": {
        "images": 26000,
        "val_loss": 1.0,
        "val_error": 0.5,
        "images_per_s": 900.0,
        "mfu": 0.1,
        "peak_memory_bytes": 10**9,
    },
    "environment": {"data": "0a1b", "versions": {"torch": "2.9"}, "machine": "m", "threads": 1},
    "times": {"seconds": 12.5},
    "forecast": {"seconds": 11.0, "assumed": False},
    "command": "vitladder train",
    "error": None,
}


def written(content: bytes) -> Path:
    """A study of three runs, of which `a` has this record."""
    shutil.rmtree(STUDY, ignore_errors=True)
    for k, key in enumerate("abc"):
        write_run(STUDY, key, n_params=4000 * 2**k, loss=1.0 - 0.1 * k)
    (STUDY / "a" / "record.json").write_bytes(content)
    return STUDY


def accepted(content: bytes) -> Record | None:
    """The record, or None where it was refused in one line."""
    try:
        return read_record(written(content) / "a")
    except UserError as error:
        is_one_line(error)
        return None


@given(content=st.one_of(st.binary(), any_json.map(lambda data: json.dumps(data).encode())))
@settings(max_examples=150)
def test_arbitrary_bytes_and_json_are_refused_in_one_line(content: bytes) -> None:
    accepted(content)


@given(content=mutated_bytes(json.dumps(SOUND).encode()))
@settings(max_examples=150)
def test_a_record_with_other_bytes_is_a_record_or_one_line(content: bytes) -> None:
    accepted(content)


@given(data=mutated(SOUND))
@settings(max_examples=150)
def test_what_is_accepted_breaks_neither_a_fit_nor_the_tables_of_the_page(
    data: dict[str, Any],
) -> None:
    record = accepted(json.dumps(data).encode())
    if record is None:
        return
    records = [record, *(read_record(STUDY / key) or record for key in "bc")]
    cells = [[cell.text for cell in row] for row in tables.run_cells(records, {})]
    for rows in (cells, tables.error_rows(records)):
        assert all(isinstance(cell, str) for row in rows for cell in row)
    comparison_rows(read_choices(records))
    provenance.circumstances(records)
    read_speeds(records)
    read_durations(records)
    try:
        fit_sources([STUDY], Request(law="isoflop", bootstrap=0))
    except UserError as error:
        is_one_line(error)


@given(data=mutated(SOUND))
@settings(max_examples=12)
@example(data=SOUND | {"config": SOUND["config"] | {"attention": {"name": "$\\frac$"}}})
@example(data=SOUND | {"config": SOUND["config"] | {"attention": {"name": "注意" * 40}}})
def test_what_is_accepted_has_a_page(data: dict[str, Any]) -> None:
    if accepted(json.dumps(data).encode()) is None:
        return
    fit = fit_or_reasons(STUDY, bootstrap=0)
    assert write_page(STUDY, fit, command="vitladder report").read_text().endswith("</html>\n")


def test_what_is_accepted_has_its_row_in_the_final_table() -> None:
    @given(data=mutated(SOUND))
    @settings(max_examples=150)
    def check(data: dict[str, Any]) -> None:
        if accepted(json.dumps(data).encode()) is not None:
            print_summary([Place(Path("outputs"), "study", key) for key in "abc"])

    check()
