"""`vitladder watch`, and the table of a multirun on its own terminal."""

from __future__ import annotations

import os
import pty
import re
import subprocess
from pathlib import Path

import forked
import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws_study import write_run
from rich.console import Console

from vitladder.live import duration, line, table
from vitladder.runs.announced import Announcement
from vitladder.runs.standing import RunStanding, Standing

STUDY = ["model=micro-8", "log_every=5", "logger=csv", "threads=1", "study=live"]
COMMAND = Announcement("vitladder train -m seed=0,1", "name", 7, "here", [])


def run(key: str, state: str, done: float, speed: float = 0.0) -> RunStanding:
    return RunStanding(key, state, "16x2", 4000, 1e10, done, 0.5, None, 900.0, 0.25, speed)


STANDING = Standing(
    "demo",
    [COMMAND],
    [run("aa", "complete", 1e10), run("bb", "running", 5e9, 1e8), run("cc", "waiting", 0.0)],
)


def drawn(standing: Standing, rows: int = 20, width: int = 120) -> list[str]:
    console = Console(width=width, record=True, file=Path(os.devnull).open("w"))  # noqa: SIM115
    console.print(table(standing, rows))
    console.file.close()
    return [row.rstrip() for row in console.export_text().splitlines()]


def test_a_study_in_one_line() -> None:
    assert line(STANDING) == (
        "demo: 1 of 3 runs done, 1 running, 1 waiting, 0 stopped or failed; 50 % of 3e+10 FLOPs; "
        "about 2 min left at this speed"
    )


def test_the_table_says_who_trains_what_and_how_far_it_is() -> None:
    head, command, total, names, *runs = drawn(STANDING)
    assert head.startswith("demo: 1 of 3 runs done")
    assert command == "vitladder train -m seed=0,1  (process 7 on here)"
    assert "50.0 % of 3e+10 FLOPs" in total
    assert names.split()[:5] == ["run", "state", "shape", "N", "C"]
    assert [row.split()[:2] for row in runs] == [
        ["bb", "running"],
        ["cc", "waiting"],
        ["aa", "complete"],
    ]
    assert "25.0%" in runs[0]


def test_a_small_screen_shows_what_runs_and_counts_the_rest() -> None:
    many = Standing(
        "demo", [], [*STANDING.runs, *(run(f"r{k}", "complete", 1e10) for k in range(97))]
    )
    rows = drawn(many, rows=3)
    assert rows[-1] == "and 97 more"
    assert rows[-4].startswith("bb")


@given(st.floats(0, 1e8))
def test_a_duration_is_said_to_within_its_last_unit(seconds: float) -> None:
    units = {"s": 1, "min": 60, "h": 3600, "d": 86400}
    said = re.findall(r"(\d+) (s|min|h|d)", duration(seconds))
    value = sum(int(number) * units[unit] for number, unit in said)
    assert abs(value - seconds) <= units[said[-1][1]]


def test_a_finished_study_is_said_and_left() -> None:
    write_run(Path("outputs/live"), "a")
    done = forked.run("watch", "outputs/live")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("live: 1 of 1 runs done, 0 running")
    write_run(Path("outputs/live"), "b", status="failed")
    done = forked.run("watch", "outputs/live")
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.slow
def test_who_watches_a_study_sees_it_to_its_end() -> None:
    arguments = ["train", "-m", *STUDY, "compute.steps=400", "seed=0,1"]
    training = forked.start(arguments, Path("said").absolute())
    while not list(Path("outputs").glob("live/.announced-*")):
        training.join(0.01)
        assert training.exitcode is None
    watched = forked.run("watch", "outputs/live")
    training.join(60)
    assert (watched.returncode, watched.stderr, training.exitcode) == (0, "", 0)
    first, *_, last = watched.stdout.splitlines()
    assert "0 of 2 runs done" in first
    assert last.startswith("live: 2 of 2 runs done, 0 running, 0 waiting")
    assert not list(Path("outputs/live").glob(".a*"))


@pytest.mark.slow
@pytest.mark.parametrize("workers", [[], ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]])
def test_a_multirun_on_a_terminal_shows_its_study(command: str, workers: list[str]) -> None:
    arguments = ["train", "-m", *STUDY, "compute.steps=1500", "seed=0,1", *workers]
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [command, *arguments],
        stdout=subprocess.PIPE,
        stderr=theirs,
        env={**os.environ, "COLUMNS": "140", "TERM": "xterm"},
        text=True,
    ) as process:
        os.close(theirs)
        shown = b""
        while True:
            try:
                shown += os.read(ours, 4096)
            except OSError:  # the other end is closed
                break
        os.close(ours)
        output, _ = process.communicate()
    assert process.returncode == 0
    assert re.search(rb"[01] of 2 runs done, [12] running, [01] waiting", shown)
    assert b"% of" in shown
    # What goes into a file is there whole, without the table.
    assert output.count(" complete: width") == 2
    assert "running" not in output
    assert not [file for file in Path("outputs/live").iterdir() if file.name.startswith(".")]
