"""A study from the command to its page, and what happens when it is called again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import forked
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

Here = Callable[..., subprocess.CompletedProcess[str]]
STUDY = [
    *["train", "-m", "+sweep=demo", "ladder.n_params=1e4"],
    *["compute.flops=2e8,4e8,8e8", "ladder.relative=0.5,1,2,4"],
]


def run(command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a study whose runs train side by side, for which a forked process is no ground."""
    return subprocess.run([command, *arguments], capture_output=True, text=True, timeout=300)


def records(study: str) -> dict[str, dict[str, Any]]:
    """The records of a study by run_key."""
    files = Path("outputs", study).glob("*/record.json")
    return {file.parent.name: json.loads(file.read_text()) for file in files}


@pytest.mark.slow
def test_a_killed_study_is_finished_by_the_same_command_each_run_once(
    command: str, here: Here
) -> None:
    first = subprocess.Popen(
        [command, *STUDY], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert first.stdout is not None
    for line in first.stdout:
        if " complete: " in line:
            break
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate(timeout=60)
    before = records("demo")
    assert before

    again = run(command, *STUDY)
    assert again.returncode == 0, again.stdout + again.stderr
    after = records("demo")
    planned = json.loads(here("plan", *STUDY[1:], "--json").stdout)["runs"]
    assert set(after) == {one["run_key"] for one in planned}
    assert {record["status"] for record in after.values()} == {"complete"}
    assert {key: after[key] for key in before} == before

    third = here(*STUDY)
    assert third.returncode == 0
    assert records("demo") == after

    assert_fit_and_page(here, len(after))


def assert_fit_and_page(here: Here, runs: int) -> None:
    fit = here("fit", "outputs/demo", "--json", "--bootstrap", "20")
    assert fit.returncode == 0, fit.stderr
    found = json.loads(fit.stdout)
    assert found["runs"] == runs
    assert set(found["laws"]) >= {"parametric", "isoflop"}
    assert len(found["laws"]["isoflop"]["minima"]) == 3
    page = here("report", "outputs/demo")
    assert page.returncode == 0, page.stderr
    text = Path(page.stdout.strip()).read_text()
    for key in records("demo"):
        assert key in text
    assert "vitladder train -m +sweep=demo" in text


@pytest.mark.slow
def test_a_failed_run_stops_no_other_and_the_exit_code_says_so() -> None:
    folder = Path("plugins/attention")
    folder.mkdir(parents=True)
    (folder / "broken.py").write_text(
        "from dataclasses import dataclass\n"
        "from vitladder.extend.attention import AttentionKernel\n"
        "@dataclass(frozen=True)\n"
        "class Broken(AttentionKernel):\n"
        "    def __call__(self, q, k, v, **rest):\n"
        "        if q.requires_grad:\n"
        "            raise RuntimeError('it broke')\n"
        "        return (v, q[..., 0].float()) if rest.get('return_lse') else v\n"
    )
    tiny = ["model=micro-8", "compute.steps=3", "logger=csv", "seed=0,1", "study=mixed"]
    done = forked.run("train", "-m", *tiny, "attention=broken,sdpa")
    assert done.returncode == 1
    found = records("mixed")
    states = sorted((r["config"]["attention"]["name"], r["status"]) for r in found.values())
    assert states == [
        ("broken", "failed"),
        ("broken", "failed"),
        ("sdpa", "complete"),
        ("sdpa", "complete"),
    ]
    [broken, *_] = [key for key, r in found.items() if r["status"] == "failed"]
    assert found[broken]["error"] == "RuntimeError: it broke"
    log = Path("outputs/mixed", broken, "train.log").read_text()
    assert "Traceback" in log
    assert "broken.py" in log

    stopped = forked.run(
        "train", "-m", *tiny, "study=stopped", "on_error=stop", "attention=broken,sdpa"
    )
    assert stopped.returncode == 1
    assert [r["status"] for r in records("stopped").values()] == ["failed"]
    assert "not started" in stopped.stdout
    assert not list(Path("outputs/stopped").glob(".stop*"))


@pytest.mark.slow
def test_a_killed_process_costs_its_own_run_alone(command: str) -> None:
    folder = Path("plugins/attention")
    folder.mkdir(parents=True)
    (folder / "deadly.py").write_text(
        "import os, signal\n"
        "from dataclasses import dataclass\n"
        "from vitladder.extend.attention import AttentionKernel\n"
        "@dataclass(frozen=True)\n"
        "class Deadly(AttentionKernel):\n"
        "    def __call__(self, q, k, v, **rest):\n"
        "        if q.requires_grad:\n"
        "            os.kill(os.getpid(), signal.SIGKILL)\n"
        "        return (v, q[..., 0].float()) if rest.get('return_lse') else v\n"
    )
    tiny = ["model=micro-8", "compute.steps=3", "logger=csv", "threads=1", "study=killed"]
    workers = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
    study = ["train", "-m", *tiny, *workers, "attention=deadly,sdpa"]
    done = run(command, *study)
    assert done.returncode == 1
    found = records("killed").values()
    states = sorted((r["config"]["attention"]["name"], r["status"], r["error"]) for r in found)
    assert states == [
        ("deadly", "failed", "its process was killed"),
        ("sdpa", "complete", None),
    ]
    assert "killed: 2 runs" in done.stdout
    assert "1 of 2 runs are not finished" in done.stdout
    assert "Traceback" not in done.stderr
    for line in done.stderr.strip().splitlines():
        assert line.startswith("vitladder: the launcher lost a process (TerminatedWorkerError)")


@pytest.mark.slow
def test_a_loss_that_is_not_finite_is_recorded_as_diverged_and_is_a_result() -> None:
    settings = ["model=micro-8", "compute.steps=40", "optim.lr=1e30", "optim.clip=1e30"]
    done = forked.run("train", *settings, "log_every=5", "logger=csv", "optim.name=sgd")
    assert done.returncode == 0, done.stderr
    [record] = records("default").values()
    assert record["status"] == "diverged"
    assert record["results"]["train_loss"] is None
    assert record["results"]["steps"] < 40
    assert "the training loss is" in record["error"]


@pytest.mark.slow
def test_a_run_leaves_its_record_log_config_metrics_and_offline_wandb() -> None:
    done = forked.run("train", "model=micro-8", "compute.steps=30", "log_every=10", "threads=1")
    assert done.returncode == 0, done.stderr
    [(key, record)] = records("default").items()
    folder = Path("outputs/default", key)
    results = record["results"]
    assert (results["steps"], results["images"]) == (30, 30 * 64)
    assert results["flops"] == record["plan"]["flops"]
    assert 0 < results["val_error"] < 1
    assert results["best_val_loss"] <= results["val_loss"]
    assert results["images_per_s"] > 0
    assert results["mfu"] is None
    assert results["peak_memory_bytes"] > 50e6
    assert record["environment"]["threads"] == 1
    assert record["command"].startswith("vitladder train model=micro-8 compute.steps=30 ")
    assert "val_loss" in (folder / "train.log").read_text()
    assert "width: 8" in (folder / "config.yaml").read_text()
    rows = (folder / "metrics.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows if row.split(",")[3]] == ["step", "10", "20", "30"]
    [offline] = (folder / "wandb").glob("offline-run-*")
    assert list(offline.glob("*.wandb"))


@pytest.fixture
def part_of_cifar10(cifar10: Path) -> Path:
    """The first rows of both of its files: all of them are decoded in tests/data."""
    folder = Path("cifar10")
    folder.mkdir()
    for part, rows in (("train", 5_000), ("test", 1_000)):
        first = next(pq.ParquetFile(cifar10 / f"{part}.parquet").iter_batches(rows))
        pq.write_table(pa.Table.from_batches([first]), folder / f"{part}.parquet")
    return folder


@pytest.mark.slow
def test_cifar10_trains_from_its_parquet_files(part_of_cifar10: Path) -> None:
    settings = ["data=parquet", f"data.path={part_of_cifar10}", "model.patch=8", "logger=csv"]
    done = forked.run("train", *settings, "compute.steps=40", "evaluations=1")
    assert done.returncode == 0, done.stdout + done.stderr
    [record] = records("default").values()
    model = record["config"]["model"]
    assert (model["image_size"], model["channels"], model["classes"]) == (32, 3, 10)
    assert record["results"]["val_loss"] < 2.31


@pytest.mark.slow
def test_a_loss_above_the_starts_for_too_long_is_a_result_that_no_fit_takes_and_the_page_shows(
    here: Here,
) -> None:
    tiny = ["model=micro-8", "compute.steps=300", "threads=1", "log_every=10", "logger=csv"]
    assert here("train", *tiny, "optim.lr=10").returncode == 0
    [record] = records("default").values()
    assert record["status"] == "diverged"
    assert "has been above the start's" in record["error"]
    assert record["results"]["steps"] < 300
    fit = here("fit", "outputs/default", "--json")
    assert "1 diverged" in fit.stderr
    page = Path(here("report", "outputs/default").stdout.strip()).read_text()
    assert "has been above the start&#x27;s" in page
