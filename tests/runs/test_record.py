"""record.json and metrics.csv: whole or absent, strict JSON, each step once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vitladder.errors import UserError
from vitladder.runs.atomic import replacing, write_text
from vitladder.runs.metrics import COLUMNS, open_rows, read_rows, write_row
from vitladder.runs.record import FILE, Record, Results, read_record, versions, write_record
from vitladder.runs.sweep import Place


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """The folder of the run `abc`."""
    folder = tmp_path / "abc"
    folder.mkdir()
    return folder


def record(**changes: object) -> Record:
    fields = {
        "run_key": "abc",
        "study": "s",
        "status": "complete",
        "config": {"model": {"width": 8}},
        "plan": {"n_params": 10},
        "results": Results(val_loss=0.5),
        "environment": {},
        "times": {"start": "x", "end": "y", "seconds": 1.0},
        "command": "vitladder train",
    }
    return Record(**{**fields, **changes})  # type: ignore[arg-type]


def test_a_record_is_read_back_as_it_was_written(run: Path) -> None:
    write_record(run, record())
    assert read_record(run) == record()
    assert [file.name for file in run.iterdir()] == [FILE]


def test_a_number_that_is_not_finite_is_null(run: Path) -> None:
    write_record(run, record(results=Results(val_loss=float("nan")), plan={"a": [1e400]}))
    data = json.loads((run / FILE).read_text(), parse_constant=lambda name: pytest.fail(name))
    assert data["results"]["val_loss"] is None
    assert data["plan"]["a"] == [None]


def test_no_record_is_none(run: Path) -> None:
    assert read_record(run) is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema": 1}', '{"schema": 1, "x": 2}'])
def test_a_damaged_record_is_one_line_that_names_the_file(run: Path, text: str) -> None:
    (run / FILE).write_text(text)
    with pytest.raises(UserError, match=r"record\.json is not a record of vitladder") as caught:
        read_record(run)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"schema": "1"}, "it has no schema number"),
        ({"run_key": 3}, "run_key is not a string"),
        ({"study": 3}, "study is not a string"),
        ({"status": "fine"}, "status is 'fine', not one of complete, diverged"),
        ({"status": None}, "status is None"),
        ({"plan": 3}, "plan is not a mapping"),
        ({"results": []}, "results is not a mapping"),
        ({"environment": "x"}, "environment is not a mapping"),
    ],
)
def test_a_foreign_record_says_what_is_wrong(
    run: Path, changes: dict[str, object], why: str
) -> None:
    write_record(run, record())
    data = json.loads((run / FILE).read_text())
    (run / FILE).write_text(json.dumps(data | changes))
    with pytest.raises(UserError, match=why):
        read_record(run)


def test_a_record_that_someone_else_wrote_needs_little(run: Path) -> None:
    little = {"schema": 1, "run_key": "abc", "status": "complete", "plan": {"n_params": 3}}
    (run / FILE).write_text(json.dumps(little | {"results": {"val_loss": 2.0}, "config": None}))
    found = read_record(run)
    assert found is not None
    assert (found.run_key, found.study, found.command) == ("abc", "", "")
    assert (found.plan, found.results) == ({"n_params": 3}, Results(val_loss=2.0))
    assert (found.config, found.environment, found.times) == ({}, {}, {})


def test_a_field_that_this_version_does_not_know_is_left_out(run: Path) -> None:
    write_record(run, record())
    data = json.loads((run / FILE).read_text())
    data |= {"weather": "rain", "results": data["results"] | {"watts": 300}}
    (run / FILE).write_text(json.dumps(data))
    assert read_record(run) == record()


def test_a_newer_schema_is_refused(run: Path) -> None:
    (run / FILE).write_text('{"schema": 99}')
    with pytest.raises(UserError, match="schema 99, newer than 1; update vitladder"):
        read_record(run)


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    file = tmp_path / "x"
    write_text(file, "old")

    def fail() -> None:
        with replacing(file) as temporary:
            temporary.write_text("half")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        fail()
    assert file.read_text() == "old"
    assert [f.name for f in tmp_path.iterdir()] == ["x"]


def test_a_reader_never_sees_half_a_file(tmp_path: Path) -> None:
    file = tmp_path / "x"
    write_text(file, "old")
    with replacing(file) as temporary:
        temporary.write_text("new")
        assert file.read_text() == "old"
    assert file.read_text() == "new"


def test_rows_after_the_checkpoint_are_cut_and_half_a_row_is_none(tmp_path: Path) -> None:
    with open_rows(tmp_path, last_step=0) as rows:
        for step in (10, 20, 30):
            write_row(rows, {"step": step, "train_loss": 0.5})
        rows.write("40,2560,1")
    assert [row["step"] for row in read_rows(tmp_path)] == ["10", "20", "30"]
    with open_rows(tmp_path, last_step=20) as rows:
        write_row(rows, {"step": 30, "train_loss": 0.25})
    assert [(r["step"], r["train_loss"]) for r in read_rows(tmp_path)] == [
        ("10", "0.5"),
        ("20", "0.5"),
        ("30", "0.25"),
    ]
    assert (tmp_path / "metrics.csv").read_text().splitlines()[0] == ",".join(COLUMNS)


@pytest.mark.parametrize(
    ("status", "finished"),
    [("complete", True), ("diverged", True), ("failed", False), ("interrupted", False)],
)
def test_a_run_is_finished_when_it_is_complete_or_has_diverged(
    tmp_path: Path, status: str, finished: bool
) -> None:
    place = Place(tmp_path, "s", "abc")
    assert place.finished() is None
    place.folder.mkdir(parents=True)
    write_record(place.folder, record(status=status))
    assert (place.finished() is not None) == finished


def test_versions_name_what_a_result_depends_on() -> None:
    found = versions()
    assert found["torch"]
    assert found["python"]
