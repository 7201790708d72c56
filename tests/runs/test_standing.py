"""How a study stands: counted in FLOPs, from its files alone."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws_study import write_run

from vitladder.errors import UserError
from vitladder.runs.announced import Announced, announced
from vitladder.runs.claim import claimed
from vitladder.runs.invocation import Invocation
from vitladder.runs.metrics import Tail, open_rows, write_row
from vitladder.runs.standing import RunStanding, Standing, StudyReader
from vitladder.runs.sweep import Place

STUDY = Path("outputs/study")


def rows(key: str, *steps: int) -> None:
    """A run's metrics.csv: 100 images and 1e9 FLOPs for each step, 50 images a second."""
    (STUDY / key).mkdir(parents=True, exist_ok=True)
    with open_rows(STUDY / key, last_step=0) as file:
        for step in steps:
            counts = {"step": step, "images": 100 * step, "flops": 1e9 * step}
            held_out = {"val_loss": 2.5} if step == 1 else {}
            write_row(file, {**counts, "train_loss": 1 / step, "images_per_s": 50.0, **held_out})


@contextmanager
def training(key: str) -> Iterator[None]:
    """A run that somebody trains now."""
    with claimed(Place(Path("outputs"), "study", key), "mine"):
        yield


@contextmanager
def announcing(*keys: str, name: str = "mine") -> Iterator[None]:
    """A command that will train runs of 10 steps."""
    runs = [Announced(key, "16x2", 4000, 1e10) for key in keys]
    with announced(STUDY, Invocation("vitladder train", name, 1, multirun=True), runs):
        yield


def of_command(key: str, name: str) -> None:
    """Let a record be of this command."""
    file = STUDY / key / "record.json"
    record = json.loads(file.read_text())
    record["environment"]["invocation"] = name
    file.write_text(json.dumps(record))


def states() -> dict[str, str]:
    return {run.run_key: run.state for run in StudyReader(STUDY).read().runs}


def test_each_run_is_what_its_files_say() -> None:
    for status in ("complete", "diverged", "failed", "interrupted"):
        write_run(STUDY, status, status=status)
    rows("killed", 1, 2)
    (STUDY / "killed" / ".lock").touch()
    with announcing("next", "complete"), training("now"):
        assert states() == {
            "complete": "complete",
            "diverged": "diverged",
            "failed": "failed",
            "interrupted": "interrupted",
            "killed": "stopped",
            "next": "waiting",
            "now": "running",
        }


def test_a_run_that_failed_before_waits_for_a_command_that_will_try_it_again() -> None:
    write_run(STUDY, "a", status="failed")
    with announcing("a"):
        assert states() == {"a": "waiting"}
        of_command("a", "mine")
        assert states() == {"a": "failed"}
        of_command("a", "of another")
        assert states() == {"a": "waiting"}


def test_a_run_that_one_command_saw_fail_waits_for_another_that_announced_it() -> None:
    write_run(STUDY, "a", status="failed")
    of_command("a", "mine")
    with announcing("a"), announcing("a", name="theirs"):
        assert states() == {"a": "waiting"}


def test_progress_and_time_are_counted_in_flops() -> None:
    write_run(STUDY, "done", flops=3e10, status="complete")
    rows("now", *range(1, 6))
    with announcing("now", "next"), training("now"):
        standing = StudyReader(STUDY).read()
    # 30 of the run that is done and 5 of 10 of the one that trains, of 30 + 10 + 10 steps' worth.
    assert standing.share == pytest.approx(35 / 50)
    # 15 steps of 100 images are left, at 50 images a second.
    assert standing.seconds_left == pytest.approx(30)
    assert standing.alive
    [now] = [run for run in standing.runs if run.state == "running"]
    assert (now.train_loss, now.val_loss, now.images_per_s) == (0.2, 2.5, 50.0)


def test_the_speed_is_that_of_the_last_minutes_with_all_that_lies_between_steps() -> None:
    times = iter([0.0, 5.0, 20.0, 400.0, 420.0])
    reader = StudyReader(STUDY, lambda: next(times))
    rows("now", 1)
    with announcing("now"), training("now"):
        assert reader.read().flops_per_s == pytest.approx(50 * 1e9 / 100)
        rows("now", 1, 2)
        assert reader.read().flops_per_s == pytest.approx(50 * 1e9 / 100)
        rows("now", 1, 2, 3)
        assert reader.read().flops_per_s == pytest.approx(2e9 / 20)
        rows("now", 1, 2, 3, 4)
        reader.read()
        rows("now", *range(1, 9))
        assert reader.read().flops_per_s == pytest.approx(4e9 / 20)


def test_a_run_that_diverged_needs_no_more_and_was_not_trained_at_once() -> None:
    times = iter([0.0, 20.0])
    reader = StudyReader(STUDY, lambda: next(times))
    rows("wild", 1)
    rows("now", 1)
    with announcing("wild", "now"), training("now"):
        reader.read()
        (STUDY / "wild" / "metrics.csv").unlink()
        (STUDY / "wild").rename(STUDY / ".before")
        write_run(STUDY, "wild", status="diverged", flops=1e10)
        record = STUDY / "wild" / "record.json"
        data = json.loads(record.read_text())
        data["results"]["flops"] = 3e9
        record.write_text(json.dumps(data))
        rows("now", 1, 2)
        standing = reader.read()
    [wild] = [run for run in standing.runs if run.run_key == "wild"]
    assert (wild.done, wild.trained) == (1e10, 3e9)
    # 2 steps of the one and 1 of the other, in 20 seconds.
    assert standing.flops_per_s == pytest.approx(3e9 / 20)
    assert standing.share == pytest.approx((1e10 + 2e9) / 2e10)


@given(st.lists(st.tuples(st.floats(1e9, 1e20), st.floats(0, 1)), min_size=1), st.floats(1, 1e15))
def test_what_is_left_is_the_sum_of_what_each_run_lacks(
    runs: list[tuple[float, float]], speed: float
) -> None:
    states = [RunStanding("a", "running", "", 1, flops, part * flops) for flops, part in runs]
    standing = Standing("s", [], states, speed)
    left = sum(flops - part * flops for flops, part in runs)
    assert standing.seconds_left == pytest.approx(left / speed)
    total = sum(flops for flops, _ in runs)
    assert standing.share == pytest.approx(sum(part * flops for flops, part in runs) / total)


def test_what_is_not_known_is_not_guessed() -> None:
    with announcing("a"):
        standing = StudyReader(STUDY).read()
    assert (standing.share, standing.seconds_left) == (0.0, None)
    (STUDY / "b").mkdir()
    (STUDY / "b" / ".lock").touch()
    assert StudyReader(STUDY).read().share is None


def test_a_record_is_read_again_when_it_has_changed() -> None:
    write_run(STUDY, "a", status="interrupted")
    reader = StudyReader(STUDY)
    assert reader.read().runs[0].state == "interrupted"
    file = STUDY / "a" / "record.json"
    file.write_text(file.read_text().replace("interrupted", "complete"))
    assert reader.read().runs[0].state == "complete"


def test_the_last_figure_of_each_column_is_kept_however_long_ago_it_was() -> None:
    rows("a", *range(1, 2000))
    (STUDY / "a" / ".lock").touch()
    reader = StudyReader(STUDY)
    for _ in range(2):
        [run] = reader.read().runs
        assert (run.done, run.train_loss, run.val_loss) == (1.999e12, 1 / 1999, 2.5)


def test_half_a_row_waits_and_a_file_in_the_place_of_another_is_read_anew() -> None:
    rows("a", 1)
    file = STUDY / "a" / "metrics.csv"
    tail = Tail(STUDY / "a")
    assert [row["step"] for row in tail.new()] == ["1"]
    head, first = file.read_text().splitlines()
    with file.open("a") as more:
        more.write(first.replace("1,", "2,", 1)[:6])
    assert tail.new() == []
    with file.open("a") as more:
        more.write(first.replace("1,", "2,", 1)[6:] + "\n")
    assert [row["step"] for row in tail.new()] == ["2"]
    other = file.with_name("other")
    other.write_text(
        f"{head}\n" + "".join(f"{first.replace('1,', f'{n},', 1)}\n" for n in (7, 8, 9))
    )
    other.replace(file)
    assert [row["step"] for row in tail.new()] == ["7", "8", "9"]


def test_a_named_pipe_is_not_waited_for() -> None:
    (STUDY / "a").mkdir(parents=True)
    (STUDY / "a" / ".lock").touch()
    os.mkfifo(STUDY / "a" / "metrics.csv")
    os.mkfifo(STUDY / ".announced-x.json")
    assert states() == {"a": "stopped"}


def test_no_study_is_one_line() -> None:
    with pytest.raises(UserError, match=r"^no study at outputs/study: give"):
        StudyReader(STUDY).read()
    STUDY.mkdir(parents=True)
    with pytest.raises(UserError, match=r"^outputs/study holds no run: give"):
        StudyReader(STUDY).read()
