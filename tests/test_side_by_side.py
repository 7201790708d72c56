"""A command whose runs train side by side lets all of them save before a signal ends it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from vitladder.train.checkpoint_files import saved_checkpoints

STUDY = ["train", "-m", "model=micro-8", "logger=csv", "threads=1", "log_every=5"]
STUDY += ["compute.steps=100000", "checkpoint_seconds=1000", "seed=0,1,2,3"]
STUDY += ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]


def runs() -> list[Path]:
    """The folders of the runs that have been begun."""
    return [file.parent for file in Path("outputs/default").glob("*/metrics.csv")]


def two_are_training() -> bool:
    rows = [len((run / "metrics.csv").read_text().splitlines()) for run in runs()]
    return len(rows) == 2 and min(rows) > 3


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "to_all"),
    [(signal.SIGINT, True), (signal.SIGUSR1, False)],
    ids=["Ctrl-C to all processes", "Slurm's warning to the command"],
)
def test_a_signal_lets_all_runs_save_and_starts_no_other(
    command: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    how: signal.Signals,
    to_all: bool,
) -> None:
    scontrol = tmp_path / "scontrol"
    scontrol.write_text(f"#!/bin/sh\ncat {tmp_path}/outputs/*/*/record.json > {tmp_path}/asked\n")
    scontrol.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setenv("SLURM_JOB_ID", "80")
    with (tmp_path / "said").open("w") as said:
        process = subprocess.Popen(
            [command, *STUDY], stdout=said, stderr=said, start_new_session=True
        )
        while not two_are_training():
            assert process.poll() is None, (tmp_path / "said").read_text()
            try:
                process.wait(0.05)
            except subprocess.TimeoutExpired:
                continue
        (os.killpg if to_all else os.kill)(process.pid, how)
        assert process.wait(120) == 130
    words = (tmp_path / "said").read_text()
    assert "Traceback" not in words
    assert "vitladder: interrupted; the runs save first" in words
    assert len(runs()) == 2
    for run in runs():
        record = json.loads((run / "record.json").read_text())
        assert record["status"] == "interrupted"
        assert [saved.step for saved in saved_checkpoints(run)] == [record["results"]["steps"]]
    assert not list(Path("outputs/default").glob(".interrupt*"))
    # Slurm is asked after both have saved.
    asked = tmp_path / "asked"
    assert asked.exists() == (how == signal.SIGUSR1)
    if asked.exists():
        assert asked.read_text().count('"status": "interrupted"') == 2
