"""What a command means to train is known while it lives, and forgotten when it is dead."""

from __future__ import annotations

import fcntl
import subprocess
import sys
import threading
from pathlib import Path
from typing import TextIO

import pytest

from vitladder.runs.announced import Announced, announced, forget_the_dead, read_announcements
from vitladder.runs.invocation import Invocation

STUDY = Path("outputs/study")
RUNS = [Announced("a", "16x2", 4000, 1e9), Announced("b", "24x2", 9000, 2e9)]
KILLED = """
import os, signal
from pathlib import Path
from vitladder.runs.announced import announced
from vitladder.runs.invocation import Invocation
with announced(Path("outputs/study"), Invocation("train", "dead", os.getpid(), True), []):
    Path("outputs/study/.interrupt-dead").touch()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def invocation(name: str) -> Invocation:
    return Invocation(f"vitladder train study={name}", name, 1, multirun=True)


def names() -> list[str]:
    return [one.invocation for one in read_announcements(STUDY)]


def test_a_command_says_what_it_will_train_until_it_ends() -> None:
    with announced(STUDY, invocation("one"), RUNS), announced(STUDY, invocation("two"), []):
        [one, two] = read_announcements(STUDY)
        assert (one.command, one.runs, two.runs) == ("vitladder train study=one", RUNS, [])
        forget_the_dead(STUDY)
        assert names() == ["one", "two"]
    assert names() == []
    assert list(STUDY.iterdir()) == []


def test_a_killed_command_is_not_at_work_and_leaves_nothing_for_long() -> None:
    subprocess.run([sys.executable, "-c", KILLED], check=False)
    assert len(list(STUDY.iterdir())) == 2
    assert names() == []
    (STUDY / ".stop-alive").touch()
    with announced(STUDY, invocation("alive"), []):
        forget_the_dead(STUDY)
        assert {file.name for file in STUDY.iterdir()} == {".announced-alive.json", ".stop-alive"}


def test_a_study_that_cannot_be_written_is_for_the_run_to_say() -> None:
    Path("outputs").write_text("no folder")
    reached = False
    with announced(STUDY, invocation("one"), RUNS):
        reached = True
    assert reached


def test_half_an_announcement_is_none_yet() -> None:
    with announced(STUDY, invocation("one"), RUNS):
        file = STUDY / ".announced-one.json"
        file.write_text(file.read_text()[:40])
        assert names() == []


def test_a_command_that_begins_is_not_taken_for_a_dead_one() -> None:
    ended = threading.Event()

    def forget() -> None:
        while not ended.is_set():
            forget_the_dead(STUDY)

    STUDY.mkdir(parents=True)
    others = [threading.Thread(target=forget) for _ in range(6)]
    for other in others:
        other.start()
    try:
        for number in range(300):
            with announced(STUDY, invocation(f"n{number}"), RUNS):
                (STUDY / f".interrupt-n{number}").touch()
                forget_the_dead(STUDY)
                assert f"n{number}" in names()
                assert (STUDY / f".interrupt-n{number}").exists()
            (STUDY / f".interrupt-n{number}").unlink(missing_ok=True)
    finally:
        ended.set()
        for other in others:
            other.join()


def test_what_a_live_command_asks_is_kept_also_where_it_cannot_be_read() -> None:
    with announced(STUDY, invocation("one"), RUNS):
        (STUDY / ".announced-one.json").write_text("{")
        (STUDY / ".interrupt-one").touch()
        forget_the_dead(STUDY)
        assert (STUDY / ".interrupt-one").exists()


def swapped_when_locked(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let another command put a new file in the place of one that is about to be locked."""
    lock, first = fcntl.flock, iter([True])

    def swap_and_lock(opened: TextIO, how: int) -> None:
        if next(first, False):
            file.unlink()
            file.touch()
        lock(opened, how)

    monkeypatch.setattr(fcntl, "flock", swap_and_lock)


def test_a_file_is_removed_only_while_it_is_the_one_that_was_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    STUDY.mkdir(parents=True)
    file = STUDY / ".announced-dead.json"
    file.touch()
    swapped_when_locked(file, monkeypatch)
    forget_the_dead(STUDY)
    assert file.exists()


def test_a_file_that_was_swapped_before_it_was_locked_announces_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    swapped_when_locked(STUDY / ".announced-one.json", monkeypatch)
    with announced(STUDY, invocation("one"), RUNS):
        assert names() == ["one"]
