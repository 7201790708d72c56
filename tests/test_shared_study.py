"""Commands that train one study at once share its runs, whatever becomes of one of them."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import forked
import pytest

STUDY = ["train", "-m", "model=micro-8", "compute.steps=150", "log_every=5", "logger=csv"]
STUDY += ["threads=1", "checkpoint_seconds=0.02"]
SEEDS = "seed=0,1,2,3,4,5"


def records() -> dict[str, dict[str, Any]]:
    """The records by run_key."""
    files = Path("outputs/default").glob("*/record.json")
    return {file.parent.name: json.loads(file.read_text()) for file in files}


def start(name: str, *more: str) -> ForkServerProcess:
    return forked.start([*STUDY, *more], Path(name).absolute())


def wait_until(true: Callable[[], bool], process: ForkServerProcess) -> None:
    """Wait until something is true, which a running process shall make so."""
    while not true():
        process.join(0.01)
        assert process.exitcode is None, "it ended before"


def send(process: ForkServerProcess, number: signal.Signals) -> None:
    assert process.pid is not None
    os.kill(process.pid, number)


def said_by(name: str) -> str:
    """What a command has printed until now."""
    file = Path(f"{name}.out")
    return file.read_text() if file.exists() else ""


def endings(run_key: str) -> list[str]:
    """What a run's log says of its ends."""
    log = Path("outputs/default", run_key, "train.log").read_text()
    return [line for line in log.splitlines() if " complete: val_loss " in line]


@pytest.mark.slow
def test_two_commands_share_the_runs_none_twice_none_left() -> None:
    first, second = start("first", SEEDS), start("second", SEEDS)
    for process in (first, second):
        process.join(120)
        assert process.exitcode == 0
    found = records()
    assert [record["status"] for record in found.values()] == ["complete"] * 6
    assert [len(endings(key)) for key in found] == [1] * 6
    assert len({record["environment"]["invocation"] for record in found.values()}) == 2
    for name in ("first", "second"):
        assert "default: 6 runs" in Path(f"{name}.out").read_text()


@pytest.mark.slow
def test_the_run_of_a_command_that_is_killed_is_taken_over() -> None:
    first = start("first", "seed=0,1", "compute.steps=1000")
    wait_until(lambda: any(Path("outputs").glob("*/*/checkpoints/*.ckpt")), first)
    send(first, signal.SIGSTOP)
    second = start("second", "seed=0,1", "compute.steps=1000")
    wait_until(lambda: "waiting for it" in said_by("second"), second)
    assert f"is being trained by process {first.pid} on " in said_by("second")
    send(first, signal.SIGKILL)
    second.join(120)
    assert second.exitcode == 0
    found = records()
    assert [record["status"] for record in found.values()] == ["complete"] * 2
    assert [len(endings(key)) for key in found] == [1, 1]
    assert len({record["environment"]["invocation"] for record in found.values()}) == 1


@pytest.mark.slow
def test_slurm_starts_a_job_again_that_has_saved_before_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scontrol = tmp_path / "scontrol"
    records_then = f"{tmp_path}/outputs/*/*/record.json"
    scontrol.write_text(f"#!/bin/sh\necho $@ {records_then} > {tmp_path}/asked\n")
    scontrol.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    for name, value in (("JOB_ID", "80"), ("ARRAY_JOB_ID", "77"), ("ARRAY_TASK_ID", "3")):
        monkeypatch.setenv(f"SLURM_{name}", value)
    process = start("said", "seed=0,1", "compute.steps=3000")
    wait_until(lambda: any(Path("outputs").glob("*/*/checkpoints/*.ckpt")), process)
    send(process, signal.SIGUSR1)
    process.join(60)
    assert process.exitcode == 130
    [(key, record)] = records().items()
    assert record["status"] == "interrupted"
    assert record["error"].startswith("SIGUSR1 at step ")
    words = Path("asked").read_text().split()
    assert words == ["requeue", "77_3", str(tmp_path / "outputs/default" / key / "record.json")]
    assert "Slurm starts job 77_3 again" in Path("said.err").read_text()
