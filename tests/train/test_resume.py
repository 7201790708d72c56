"""`vitladder train` after a signal: the same command goes on to the same end."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
from pathlib import Path

import forked
import pytest

from vitladder.train import checkpoint

SETTINGS = [
    "model=micro-8",
    "model.drop_path=0.2",
    "model.depth=2",
    "position=learned",
    "compute.steps=60",
    "log_every=7",
    "evaluations=3",
    "logger=csv",
    "threads=1",
]


def train(command: str, *settings: str) -> subprocess.Popen[str]:
    """Start `vitladder train`."""
    return subprocess.Popen(
        [command, "train", *SETTINGS, *settings],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def stop_after_rows(process: subprocess.Popen[str], study: str, rows: int, how: int) -> int:
    """Send the signal once metrics.csv holds so many rows; return the exit code."""
    while process.poll() is None:
        files = list(Path("outputs", study).glob("*/metrics.csv"))
        if files and len(files[0].read_text().splitlines()) > rows:
            process.send_signal(how)
            break
        try:
            process.wait(0.002)
        except subprocess.TimeoutExpired:
            continue
    process.communicate(timeout=120)
    return process.returncode


def rows_so_far(study: str) -> int:
    """How many rows the study's one run has written."""
    files = list(Path("outputs", study).glob("*/metrics.csv"))
    return len(files[0].read_text().splitlines()) - 1 if files else 0


def only_run(study: str) -> Path:
    """The folder of the study's one run."""
    [record] = Path("outputs", study).glob("*/record.json")
    return record.parent


def make_bf16_the_fastest(cache: Path) -> None:
    """Change what was measured for tune=true, as another day on the machine might."""
    [file] = (cache / "vitladder" / "tuned").glob("*.json")
    known = json.loads(file.read_text())
    for candidate in known["candidates"]:
        half = candidate["choice"]["precision"] == "bf16"
        candidate["images_per_s"] = 1e9 if half else 1.0
    file.write_text(json.dumps(known))


def comparable_rows(folder: Path) -> list[dict[str, str]]:
    """The rows of metrics.csv without speeds, which no two runs share."""
    with (folder / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    return [{k: v for k, v in row.items() if k not in ("images_per_s", "mfu")} for row in rows]


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1])
def test_a_run_that_a_signal_stops_saves_and_ends_as_if_it_had_not_been(
    how: signal.Signals,
) -> None:
    assert forked.run("train", *SETTINGS, "study=whole").returncode == 0
    stopped = forked.start(
        ["train", *SETTINGS, "study=stopped", "checkpoint_seconds=1000"], Path("said").absolute()
    )
    while stopped.is_alive() and rows_so_far("stopped") < 2:
        stopped.join(0.002)
    assert stopped.pid is not None
    os.kill(stopped.pid, how)
    stopped.join(60)
    assert stopped.exitcode == 130
    record = json.loads((only_run("stopped") / "record.json").read_text())
    assert record["status"] == "interrupted"
    assert record["error"].startswith(f"{how.name} at step ")
    assert forked.run("train", *SETTINGS, "study=stopped").returncode == 0
    assert "going on from step" in (only_run("stopped") / "train.log").read_text()
    assert comparable_rows(only_run("whole")) == comparable_rows(only_run("stopped"))
    assert results("whole") == results("stopped")


def wait_for_no_validation() -> None:
    """Let a signal in a validation not wait for its end at all."""
    checkpoint.PATIENCE_SECONDS = -1


@pytest.mark.slow
def test_a_long_validation_is_left_and_made_again() -> None:
    slow = [*SETTINGS, "data.val_batch_size=1", "compute.steps=6", "evaluations=3"]
    slow += ["checkpoint_seconds=1e-9"]
    assert forked.run("train", *slow, "study=whole").returncode == 0
    process = forked.start(
        ["train", *slow, "study=stopped"], Path("said").absolute(), before=wait_for_no_validation
    )
    while not list(Path("outputs/stopped").glob("*/checkpoints/step-1.*")):
        process.join(0.001)
        assert process.is_alive()
    assert process.pid is not None
    os.kill(process.pid, signal.SIGTERM)
    process.join(60)
    assert process.exitcode == 130
    error = json.loads((only_run("stopped") / "record.json").read_text())["error"]
    assert error == "SIGTERM in the validation after step 2; it goes on from the last checkpoint"
    assert forked.run("train", *slow, "study=stopped").returncode == 0
    assert comparable_rows(only_run("whole")) == comparable_rows(only_run("stopped"))
    assert results("whole") == results("stopped")


def results(study: str) -> dict[str, float]:
    """What a run's record says came out, without times."""
    found = json.loads((only_run(study) / "record.json").read_text())["results"]
    keys = ("train_loss", "val_loss", "best_val_loss", "val_error", "steps", "flops")
    return {key: found[key] for key in keys}


@pytest.mark.slow
def test_a_tuned_run_goes_on_as_it_began_and_the_next_one_measures_nothing(
    command: str, tmp_path: Path
) -> None:
    cache = tmp_path / ".user-cache"
    # An approximate kernel stands for no other, so that few ways are left to be measured.
    tune = ["tune=true", "attention=linear", "attention.features=16"]
    whole = train(command, "study=whole", *tune)
    output, _ = whole.communicate(timeout=240)
    assert whole.returncode == 0, output
    assert " tuned: " in output
    environment = json.loads((only_run("whole") / "record.json").read_text())["environment"]
    began_with = environment["tuned"]["choice"]
    candidates = environment["tuned"]["candidates"]
    assert began_with in [row["choice"] for row in candidates]
    assert environment["precision"] == began_with["precision"]
    for varied in ("precision", "keep_memory", "micro_batch"):
        assert len({row["choice"][varied] for row in candidates}) > 1, varied

    stopped = train(command, "study=stopped", *tune, "checkpoint_seconds=1e-9")
    assert stop_after_rows(stopped, "stopped", 4, signal.SIGTERM) != 0
    make_bf16_the_fastest(cache)
    again = train(command, "study=stopped", *tune)
    output, _ = again.communicate(timeout=120)
    assert again.returncode == 0, output
    assert comparable_rows(only_run("whole")) == comparable_rows(only_run("stopped"))
    record = json.loads((only_run("stopped") / "record.json").read_text())
    assert record["environment"]["tuned"] == environment["tuned"]

    changed = train(command, "study=changed", *tune)
    changed.communicate(timeout=120)
    record = json.loads((only_run("changed") / "record.json").read_text())
    assert record["environment"]["precision"] == "bf16"
    assert record["config"]["precision"]["name"] == "fp32"
