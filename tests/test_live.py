"""`vitladder watch`, and the table of a multirun on its own terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import signal
import subprocess
from pathlib import Path

import forked
import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws_study import write_run
from rich.console import Console, ConsoleDimensions

from vitladder.live import duration, line, table
from vitladder.runs.announced import Announcement
from vitladder.runs.standing import RunStanding, Standing

STUDY = ["model=micro-8", "log_every=5", "logger=csv", "threads=1", "study=live"]
COMMAND = Announcement("vitladder train -m seed=0,1", "name", 7, "here", [])


def run(key: str, state: str, done: float) -> RunStanding:
    return RunStanding(key, state, "16x2", 21_340_000, 1e10, done, 0.5, None, 900.0, 0.25)


STANDING = Standing(
    "demo",
    [COMMAND],
    [run("aa", "diverged", 1e10), run("bb", "running", 5e9), run("cc", "waiting", 0.0)],
    1e8,
)


def drawn(standing: Standing, rows: int = 20, width: int = 120) -> list[str]:
    """The lines of the table on a terminal of this width, with room for so many runs."""
    with Path(os.devnull).open("w") as nowhere:
        console = Console(width=width, record=True, file=nowhere)
        console.print(table(standing, ConsoleDimensions(width, rows + 8)))
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
        ["aa", "diverged"],
        ["cc", "waiting"],
    ]
    assert "25.0%" in runs[0]


def test_a_small_screen_shows_what_runs_and_counts_the_rest() -> None:
    many = Standing(
        "demo", [], [*STANDING.runs, *(run(f"r{k}", "complete", 1e10) for k in range(97))]
    )
    rows = drawn(many, rows=3)
    assert rows[-1] == "and 97 more"
    assert rows[-4].startswith("bb")


@pytest.mark.parametrize("width", [80, 90, 100, 110, 120, 200])
def test_nothing_is_cut_on_a_terminal_of_any_usual_width(width: int) -> None:
    key = "0e5b86d360ab"
    figures = (303_000_000, 3.91e21, 1e21, 0.5, 0.4, 99_999.0, 0.25)
    wide = RunStanding(key, "interrupted", "1024x24", *figures)
    head, _, _, names, row = drawn(Standing("demo", [COMMAND], [wide]), width=width)
    assert "…" not in row + names
    assert head.startswith("demo: 0 of 1 runs done")
    assert {key, "interrupted", "303M", "0.5000", "0.4000"} <= set(row.split())
    shown = {"3.91e+21": 86, "99,999": 98, "25.0%": 104, "1024x24": 114}
    assert {text for text in shown if text in row} == {
        text for text, least in shown.items() if width >= least
    }


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
def test_a_command_clears_what_a_killed_one_has_left() -> None:
    arguments = ["train", *STUDY, "compute.steps=2"]
    assert forked.run(*arguments).returncode == 0
    left = [Path("outputs/live", name) for name in (".announced-dead.json", ".interrupt-dead")]
    for file in left:
        file.touch()
    assert forked.run(*arguments).returncode == 0  # nothing is left to train
    assert [file for file in left if file.exists()] == []


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


def on_a_terminal(arguments: list[str], *, wholly: bool) -> tuple[int, str, str]:
    """Exit code, what a terminal was given, and what came out elsewhere."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        arguments,
        stdout=theirs if wholly else subprocess.PIPE,
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
    return process.returncode, shown.decode(), output or ""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("workers", "wholly"),
    [([], True), (["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"], False)],
    ids=["one after the other, all on a terminal", "side by side, the output in a file"],
)
def test_a_multirun_on_a_terminal_shows_its_study(
    command: str, workers: list[str], wholly: bool
) -> None:
    arguments = ["train", "-m", *STUDY, "compute.steps=1500", "seed=0,1", *workers]
    code, shown, output = on_a_terminal([command, *arguments], wholly=wholly)
    assert code == 0
    assert re.search(r"[01] of 2 runs done, [12] running, [01] waiting", shown)
    assert "% of" in shown
    # What the runs print is there, once, and whole in a file.
    assert (shown if wholly else output).count(" complete: width") == 2
    assert "running" not in output
    assert not [file for file in Path("outputs/live").iterdir() if file.name.startswith(".")]


@pytest.mark.slow
def test_who_has_seen_enough_is_not_told_that_training_stopped(command: str) -> None:
    write_run(Path("outputs/live"), "a", status="interrupted")
    with (Path("outputs/live/a/.lock")).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with subprocess.Popen(
            [command, "watch", "outputs/live"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # A test run in the background ignores it, and whatever it starts does too.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        ) as process:
            assert process.stdout is not None
            assert "1 running" in process.stdout.readline()
            process.send_signal(signal.SIGINT)
            assert process.communicate(timeout=60)[1] == ""
    assert process.returncode == 130
