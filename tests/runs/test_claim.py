"""One process at a time trains a run, and a process that died with its claim is noticed."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from vitladder.errors import UserError
from vitladder.runs.claim import claimed, died, left_over, wait_for_one
from vitladder.runs.invocation import request_interruption
from vitladder.runs.record import Record, Results, write_record
from vitladder.runs.storage import check_writable
from vitladder.runs.sweep import Place

PLACE = Place(Path("outputs"), "study", "key")


def record(status: str, invocation: str) -> Record:
    """A record of the run by a command."""
    environment = {"invocation": invocation}
    return Record("key", "study", status, {}, {}, Results(), environment, {}, "vitladder train")


def claim_and_be_killed(name: str) -> None:
    """Claim the run in another process that is killed then."""
    code = (
        "import os, signal; from pathlib import Path; "
        "from vitladder.runs.claim import claimed; "
        "from vitladder.runs.sweep import Place\n"
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


HOLD = (
    "import sys, pathlib; from vitladder.runs.claim import claimed; "
    "from vitladder.runs.sweep import Place\n"
    "with claimed(Place(pathlib.Path(sys.argv[1]), 's', 'k'), sys.argv[2]) as mine:\n"
    "    print('held' if mine else 'taken', flush=True); sys.stdin.read()\n"
)


def hold(folder: Path, name: str, stdin: int) -> subprocess.Popen[str]:
    """Start a process that claims a run for the command `name` until its input ends."""
    words = [sys.executable, "-c", HOLD, str(folder), name]
    return subprocess.Popen(words, stdin=stdin, stdout=subprocess.PIPE, text=True)


def test_one_process_at_a_time_trains_a_run_and_its_death_frees_it(tmp_path: Path) -> None:
    holder = hold(tmp_path, "first", subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    for name in ("first", "second"):
        assert hold(tmp_path, name, subprocess.DEVNULL).communicate(timeout=30)[0] == "taken\n"
    holder.kill()
    holder.communicate(timeout=30)
    with claimed(Place(tmp_path, "s", "k"), "third") as mine:
        assert mine


def test_who_waits_is_told_for_whom_and_goes_on_when_the_run_is_free(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    holder = hold(tmp_path, "first", subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    threading.Timer(0.2, holder.kill).start()
    wait_for_one([Place(tmp_path, "s", "k")])
    said = capsys.readouterr().out
    assert (
        said
        == f"k is being trained by process {holder.pid} on {socket.gethostname()}; waiting for it\n"
    )
    holder.communicate(timeout=30)


def test_a_run_of_another_command_is_left_over_until_it_is_finished() -> None:
    assert left_over([PLACE], "mine") == []
    claim_and_be_killed("mine")
    assert left_over([PLACE], "mine") == []
    claim_and_be_killed("another")
    assert left_over([PLACE], "mine") == [PLACE]
    for status, by, left in (
        ("interrupted", "another", True),
        ("failed", "another", True),
        ("failed", "mine", False),
        ("complete", "another", False),
    ):
        write_record(PLACE.folder, record(status, by))
        assert bool(left_over([PLACE], "mine")) == left


def test_what_a_killed_process_left_half_written_goes_with_the_next_claim() -> None:
    left = [PLACE.folder / ".a.unfinished", PLACE.folder / "checkpoints" / ".b.unfinished"]
    left[1].parent.mkdir(parents=True)
    for file in left:
        file.touch()
    with claimed(PLACE, "mine"):
        assert not any(file.exists() for file in left)


HELD = (
    "import fcntl, sys\n"
    "with open(sys.argv[1], 'w') as file:\n"
    "    fcntl.flock(file, fcntl.LOCK_EX); print('held', flush=True); sys.stdin.read()\n"
)


def test_a_run_is_not_claimed_before_what_a_killed_command_left_behind_has_saved() -> None:
    PLACE.folder.mkdir(parents=True)
    unfinished = PLACE.folder / ".checkpoint.unfinished"
    unfinished.touch()
    words = [sys.executable, "-c", HELD, str(PLACE.folder / ".rank1")]
    orphan = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert orphan.stdout is not None
    assert orphan.stdout.readline() == "held\n"
    there: list[bool] = []

    def end() -> None:
        there.append(unfinished.exists())
        orphan.kill()

    threading.Timer(0.2, end).start()
    with claimed(PLACE, "mine") as mine:
        assert mine
        assert there == [True]
        assert not unfinished.exists()
    orphan.communicate(timeout=30)


def test_who_waits_for_orphans_leaves_them_when_it_shall_stop() -> None:
    PLACE.folder.mkdir(parents=True)
    unfinished = PLACE.folder / ".checkpoint.unfinished"
    unfinished.touch()
    with (PLACE.folder / ".rank1").open("w") as orphan:
        fcntl.flock(orphan, fcntl.LOCK_EX)
        request_interruption(PLACE.study_folder)
        with claimed(PLACE, "mine") as mine:
            assert mine
            # It is still being written.
            assert unfinished.exists()


def test_a_claim_that_cannot_be_written_is_a_failure_of_the_run_in_one_line() -> None:
    code = (
        "import resource, signal; from pathlib import Path\n"
        "from vitladder.errors import RunFailed\n"
        "from vitladder.runs.claim import claimed; from vitladder.runs.sweep import Place\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (8, 8))\n"
        "try:\n"
        "    with claimed(Place(Path('outputs'), 'study', 'key'), 'mine'): print('claimed')\n"
        "except RunFailed as failure: print(failure)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("cannot write in outputs/study/key: a file there may not become ")
    assert done.stderr == ""


def test_a_file_system_without_locks_is_refused_before_anything_starts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(UserError, match=r"has no locks \(No locks available\), so that two comma"):
        check_writable(Path("outputs"), 0)
