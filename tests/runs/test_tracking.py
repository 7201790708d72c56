"""Offline, W&B's client keeps a run for itself, sends nothing, and may fail without harm."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from wandb_server import Server, numbers

from vitladder.compose import compose_config
from vitladder.runs.metrics import open_rows, read_rows, write_row
from vitladder.runs.tracking import Tracker, make_tracker
from vitladder.runs.wandb_sync import Synced, sync
from vitladder.runs.wandb_training import OnlineTracker

STARTS = (
    "import os, signal; from pathlib import Path; "
    "from vitladder.compose import compose_config; "
    "from vitladder.runs.tracking import make_tracker; "
    "tracker = make_tracker(compose_config([]), {}, Path('outputs/study/key'), 'train'); "
    "tracker.start(); "
)


@pytest.fixture
def folder() -> Path:
    """The empty folder of a run."""
    made = Path("outputs/study/key")
    made.mkdir(parents=True)
    return made


def started(folder: Path) -> Tracker:
    tracker = make_tracker(compose_config([]), {"n_params": 1}, folder, "train")
    tracker.start()
    return tracker


def session(folder: Path) -> None:
    """Train in a run's folder, as far as W&B can see."""
    tracker = started(folder)
    tracker.log({"step": 1, "images": 2, "flops": 3.0, "train_loss": None})
    tracker.summarise({"status": "complete"})
    tracker.finish(failed=False)


def offline_ids(folder: Path) -> list[str]:
    # Named offline-run-TIME-ID, with a number behind it for a second one in the same second.
    return [run.name.split("-")[3] for run in sorted(folder.glob("wandb/offline-run-*"))]


def alone(trains: str) -> subprocess.CompletedProcess[str]:
    """Run Python with a W&B service of its own, and W&B's reports not switched off."""
    changed = ("WANDB_SERVICE", "WANDB_ERROR_REPORTING")
    environment = {key: value for key, value in os.environ.items() if key not in changed}
    return subprocess.run(
        [sys.executable, "-c", trains],
        check=True,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_the_sessions_of_a_run_are_one_wandb_run_and_no_other_folders(folder: Path) -> None:
    there = Path("elsewhere/study/key")
    there.mkdir(parents=True)
    session(folder)
    session(folder)
    session(there)
    first, second = offline_ids(folder)
    assert first == second == (folder / ".wandb-id").read_text()
    assert offline_ids(there) != [first]


@pytest.mark.slow
def test_a_session_that_was_killed_does_not_keep_the_run_from_going_on(folder: Path) -> None:
    session(folder)  # this process's W&B service serves the child too, and outlives it
    identity = (folder / ".wandb-id").read_text()
    killed = STARTS + "os.kill(os.getpid(), signal.SIGKILL)"
    assert subprocess.run([sys.executable, "-c", killed]).returncode == -signal.SIGKILL
    session(folder)
    assert len(set(offline_ids(folder))) == 2
    assert (folder / ".wandb-id").read_text() == identity


@pytest.mark.slow
def test_a_service_that_dies_is_one_warning_and_the_next_run_has_another(folder: Path) -> None:
    trains = STARTS + (
        "[service] = Path(f'/proc/self/task/{os.getpid()}/children').read_text().split(); "
        "os.kill(int(service), signal.SIGKILL); "
        "os.waitid(os.P_PID, int(service), os.WEXITED | os.WNOWAIT)\n"
        "for step in range(1, 50): tracker.log({'step': step, 'flops': 1.0})\n"
        "tracker.summarise({'status': 'complete'}); tracker.finish(failed=False); "
        "tracker.start(); tracker.log({'step': 1}); tracker.finish(failed=False)"
    )
    done = alone(trains)
    [said] = done.stdout.splitlines()
    assert said.startswith("key: W&B lacks rows of this run (ConnectionResetError: ")
    assert said.endswith("); `vitladder sync outputs/study` sends them")
    assert len(set(offline_ids(folder))) == 1
    assert len(offline_ids(folder)) == 2


@pytest.mark.slow
def test_an_offline_run_sends_nothing_not_even_as_its_process_ends(
    folder: Path, server: Server
) -> None:
    trains = STARTS + (
        "tracker.log({'step': 1, 'flops': 1.0}); tracker.finish(failed=False); "
        # W&B's reports of its own timings leave once a minute; their exporter is not even loaded.
        "import sys; assert 'opentelemetry.exporter.otlp' not in sys.modules"
    )
    alone(trains)
    assert len(offline_ids(folder)) == 1
    assert server.paths == []


@pytest.mark.slow
@pytest.mark.parametrize("then", [401, "hang"])
def test_what_a_server_does_not_take_while_a_run_trains_is_sent_later(
    folder: Path,
    server: Server,
    then: str | int,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(OnlineTracker, "failed_before", False)
    server.lines_until, server.then = 20, then
    online = compose_config(["logger=wandb_online"])
    with open_rows(folder, last_step=0) as rows:
        tracker = make_tracker(online, {}, folder, "train")
        tracker.start()
        assert server.has_run.wait(60)
        for step in range(1, 51):
            row = {"step": step, "flops": float(step)}
            write_row(rows, row)
            tracker.log(row)
        tracker.finish(failed=False)
    said = capsys.readouterr().out
    # Where it refuses rows at the end, W&B's client is content: only `vitladder sync` finds out.
    assert said.count("W&B lacks rows of this run (") == (then == "hang")
    assert OnlineTracker.failed_before == (then == "hang")
    server.mode, server.lines_until = "ok", None
    assert sync(folder.parent) == Synced(now=1)
    [run] = server.runs.values()
    assert run.rows == numbers(read_rows(folder))
