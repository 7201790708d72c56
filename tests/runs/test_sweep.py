"""One process at a time trains a run, and a process that died with its claim is noticed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from vitladder.runs.record import Record, Results, write_record
from vitladder.runs.sweep import Place, claimed, died

PLACE = Place(Path("outputs"), "study", "key")


def record(status: str, invocation: str) -> Record:
    """A record of the run by a command."""
    environment = {"invocation": invocation}
    return Record("key", "study", status, {}, {}, Results(), environment, {}, "vitladder train")


def claim_and_be_killed(name: str) -> None:
    """Claim the run in another process that is killed then."""
    code = (
        "import os, signal; from pathlib import Path; "
        "from vitladder.runs.sweep import Place, claimed\n"
        f"with claimed(Place(Path('outputs'), 'study', 'key'), {name!r}):\n"
        "    os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", code], check=False)


def test_a_run_whose_process_was_killed_has_died_for_its_command_alone() -> None:
    assert not died(PLACE, "mine")
    claim_and_be_killed("mine")
    assert died(PLACE, "mine")
    assert not died(PLACE, "another")


def test_a_run_that_is_being_trained_has_not_died() -> None:
    with claimed(PLACE, "mine") as mine:
        assert mine
        assert not died(PLACE, "mine")


@pytest.mark.parametrize(
    ("status", "by", "dead"),
    [
        ("failed", "mine", False),
        ("complete", "mine", False),
        ("complete", "earlier", False),
        ("interrupted", "earlier", True),
        ("failed", "earlier", True),
    ],
)
def test_a_record_says_how_a_run_ended_unless_an_earlier_command_left_it(
    status: str, by: str, dead: bool
) -> None:
    claim_and_be_killed("mine")
    write_record(PLACE.folder, record(status, by))
    assert died(PLACE, "mine") == dead


def test_a_command_does_not_try_again_what_it_has_seen_fail() -> None:
    PLACE.folder.mkdir(parents=True)
    write_record(PLACE.folder, record("failed", "mine"))
    with claimed(PLACE, "mine") as mine:
        assert not mine
    with claimed(PLACE, "next") as mine:
        assert mine
