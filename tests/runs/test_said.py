"""What workers print comes to their command whole, line by line."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path

import pytest

from vitladder.runs.invocation import Invocation, clear_stop, said_file
from vitladder.runs.said import Said, said_by_the_command

STUDY = Path("outputs/study")


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Invocation:
    """A command that shows its study on its terminal."""
    STUDY.mkdir(parents=True)
    made = Invocation("train", "name", os.getpid(), multirun=True, comes_back=True, shown=True)
    monkeypatch.setenv("VITLADDER_INVOCATION", json.dumps(asdict(made)))
    return made


def test_lines_come_once_and_whole(shown: Invocation, capsys: pytest.CaptureFixture[str]) -> None:
    said = Said(STUDY, shown)
    said.repeat()
    with said_by_the_command(STUDY):
        print("a complete", flush=True)
        print("b", "half", end="")
    assert capsys.readouterr().out == ""
    said.repeat()
    assert capsys.readouterr().out == "a complete\n"
    said.repeat()
    assert capsys.readouterr().out == ""
    clear_stop(STUDY, shown)
    assert list(STUDY.iterdir()) == []


def test_a_line_is_written_whole_and_read_whole(
    shown: Invocation, capsys: pytest.CaptureFixture[str]
) -> None:
    file, said = said_file(STUDY, shown), Said(STUDY, shown)
    with said_by_the_command(STUDY):
        print("half", end=" ")
        assert not file.exists()
        print("a line")
    assert file.read_text() == "half a line\n"
    with file.open("a") as more:
        more.write("of another wor")
    said.repeat()
    assert capsys.readouterr().out == "half a line\n"
    with file.open("a") as more:
        more.write("ker\n")
    said.repeat()
    assert capsys.readouterr().out == "of another worker\n"


def test_what_cannot_be_kept_stops_no_run(shown: Invocation) -> None:
    said_file(STUDY, shown).mkdir()
    with said_by_the_command(STUDY):
        print("a complete", flush=True)


def test_a_worker_prints_itself_where_nobody_looks_on(capsys: pytest.CaptureFixture[str]) -> None:
    with said_by_the_command(STUDY):
        print("a complete")
    assert capsys.readouterr().out == "a complete\n"
