"""Bad studies and tables end the real command with code 2 and one line, and leave nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import forked
import pytest
from bad_runs import HEAD, RUN, STUDY, Case, sound_rows, three_runs
from cases_studies import STUDIES
from cases_tables import TABLES
from laws_study import write_run, write_study

from vitladder.laws.table_files import read_table

SECONDS = 60


def lying_here() -> dict[str, int]:
    """All files and folders below this one with their times, but for the user's own cache."""
    files = [file for file in Path().rglob("*") if file.parts[0] != ".user-cache"]
    return {str(file): file.lstat().st_mtime_ns for file in files if file.is_file()}


@pytest.mark.parametrize("case", [*STUDIES, *TABLES], ids=lambda case: case.name)
def test_bad_runs_are_one_line_that_says_what_where_and_what_would_be_right(case: Case) -> None:
    case.write()
    before = lying_here()
    done = forked.run(*case.command, seconds=SECONDS)
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith("vitladder: ")
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.endswith("\n")
    assert "Traceback" not in done.stderr
    for words in case.says:
        assert words in done.stderr
    assert lying_here() == before


def test_a_loss_that_is_not_finite_is_left_out_and_counted() -> None:
    write_study(STUDY, noise=0.003)
    write_run(STUDY, "lost", loss=float("nan"))
    done = forked.run("fit", "study", "--law", "parametric", "--bootstrap", "0", "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert (answer["runs"], answer["excluded"]["unusable"]) == (20, 1)


@pytest.mark.parametrize(
    ("named", "change"),
    [
        ("the mark that spreadsheets begin with", lambda text: "\ufeff" + text),
        ("line ends of Windows", lambda text: text.replace("\n", "\r\n")),
        (
            "the index that pandas writes",
            lambda text: "," + text.replace("\n", "\n0,").rstrip("0,"),
        ),
        ("spaces around names, and empty lines", lambda text: text.replace(",", " ,", 3) + "\n\n"),
    ],
)
def test_what_other_programs_write_is_read(named: str, change: Callable[[str], str]) -> None:
    text = "\n".join([HEAD, *sound_rows(), ""])
    for name, content in (("plain.csv", text), ("runs.csv", change(text))):
        Path(name).write_bytes(content.encode())
    answers = [read_table(Path(name)) for name in ("plain.csv", "runs.csv")]
    for column in HEAD.split(","):
        plain, other = (answer.numbers(column).tolist() for answer in answers)
        assert plain == other, named


def test_a_learning_curve_loses_the_lines_that_are_no_rows_and_the_page_is_made() -> None:
    three_runs()
    head, row = "step,images,flops,train_loss,val_loss", "1,64,1e9,2.5,2.4"
    lines = [head, row, "\0" * 20, "2,128", "low,128,2e9,2.5,2.4", row.replace("1,", "2,", 1), ""]
    Path(RUN, "metrics.csv").write_text("\n".join(lines))
    done = forked.run("report", "study")
    assert done.returncode == 0, done.stderr
    assert done.stderr == (
        "study/a/metrics.csv: 3 lines are no rows and are left out, first line 3\n"
    )
