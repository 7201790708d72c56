"""Data that fails while a run trains: one clear line and `failed`, or skipped and counted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import forked
import pytest
from hostile_images import half_a_jpeg, png_bomb
from sample_data import CARD, damage_column, sample_folder, sample_image, sample_parquet
from sample_data import write_parquet as write

SETTINGS = ["model=micro-8", "compute.steps=12", "evaluations=2", "logger=csv", "threads=1"]
SETTINGS += ["log_every=4", "data.batch_size=25", "data.val_batch_size=16"]
PARQUET = ["data=parquet", "data.path=set"]
FOLDER = ["data=imagefolder", "data.path=set", "data.cache_gib=1e-9"]
HUB = ["data=hub", "data.path=set", "data.cache=cache", "data.streaming=true"]
HOW = {
    "cached": [],
    "uncached": ["data.cache_gib=1e-9"],
    "streamed": ["data.streaming=true"],
}
# A sample for mean and deviation is read before a run begins: of 12,000 images, not row 5.
MANY, UNSAMPLED = 12_000, 5
EVENTFUL = '''
import os, signal
from dataclasses import dataclass
from pathlib import Path

import torch

from vitladder.extend.attention import AttentionKernel
from vitladder.extend.registry import load

CALLS = 0


@dataclass(frozen=True)
class Eventful(AttentionKernel):
    """At one training step, a file vanishes, or the process is told to end."""

    at: int = 0
    vanishes: str = ""

    def __call__(self, q, k, v, **rest):
        global CALLS
        if torch.is_grad_enabled() and q.requires_grad:
            CALLS += 1
            if CALLS == self.at and self.vanishes:
                Path(self.vanishes).unlink()
            elif CALLS == self.at and not Path("told").exists():
                Path("told").touch()
                os.kill(os.getpid(), signal.SIGTERM)
        return load("attention", "naive")(q, k, v, **rest)
'''


@pytest.fixture
def eventful() -> None:
    """A kernel during which things happen."""
    folder = Path("plugins/attention")
    folder.mkdir(parents=True)
    (folder / "eventful.py").write_text(EVENTFUL)


def the_run(study: str = "default") -> tuple[dict[str, Any], Path]:
    """The record of the study's one run, and its folder."""
    [file] = Path("outputs", study).glob("*/record.json")
    return json.loads(file.read_text()), file.parent


def assert_failed(*settings: str, says: str) -> None:
    """The run has failed, and screen, record and log hold one line that says so."""
    done = forked.run("train", *SETTINGS, *settings)
    assert done.returncode == 1, done.stdout + done.stderr
    record, folder = the_run()
    assert record["status"] == "failed"
    assert says in record["error"]
    assert "\n" not in record["error"]
    assert done.stdout.splitlines()[0] == f"{folder.name} failed: {record['error']}"
    assert "Traceback" not in done.stdout + done.stderr


def many_rows(odd: bytes | None) -> None:
    """Write a set so large that one image is met in training first."""
    images: list[bytes | None] = [sample_image(i % 50) for i in range(MANY)]
    images[UNSAMPLED] = odd
    write(Path("set/train.parquet"), images, [i % 2 for i in range(MANY)], rows_per_group=1_000)
    write(Path("set/test.parquet"), [sample_image(i) for i in range(20)], [0, 1] * 10)


@pytest.mark.parametrize(
    "odd", [half_a_jpeg(), png_bomb(), b"", None], ids=["half", "bomb", "empty", "none"]
)
def test_an_image_that_cannot_be_read_fails_the_run(odd: bytes | None) -> None:
    many_rows(odd)
    assert_failed(*PARQUET, *HOW["streamed"], says=f"train.parquet row {UNSAMPLED}: ")


@pytest.mark.usefixtures("eventful")
def test_a_file_that_vanishes_fails_the_run_from_the_thread_that_reads_ahead() -> None:
    sample_folder(Path("set"), {"train": 300, "val": 20}, ["cat", "dog"])
    event = ["attention=eventful", "attention.at=3", "attention.vanishes=set/train/dog/299.png"]
    says = "train/dog/299.png: cannot be read (No such file or directory); mend or remove it"
    assert_failed(*FOLDER, *event, says=says)


@pytest.mark.usefixtures("eventful")
def test_a_file_that_vanishes_is_skipped_and_counted() -> None:
    sample_folder(Path("set"), {"train": 300, "val": 20}, ["cat", "dog"])
    event = ["attention=eventful", "attention.at=3", "attention.vanishes=set/train/dog/299.png"]
    done = forked.run("train", *SETTINGS, *FOLDER, *event, "data.on_error=skip")
    assert done.returncode == 0, done.stdout + done.stderr
    environment = the_run()[0]["environment"]
    assert environment["data_skipped"] == {"train": 1, "val": 0}
    assert environment["data_skipped_first"] == [
        "train/dog/299.png: cannot be read (No such file or directory)"
    ]


@pytest.mark.parametrize("skip", [[], ["data.on_error=skip"]], ids=["raise", "skip"])
def test_a_stream_shorter_than_claimed_fails_the_run(skip: list[str]) -> None:
    sample_parquet(Path("set"), train=60, val=4)
    Path("set/README.md").write_text(CARD.replace("num_examples: 8", "num_examples: 61"))
    assert_failed(*HUB, *skip, says="the stream ended after 60 images, of 61 claimed")


def test_a_damaged_row_group_fails_the_run() -> None:
    many_rows(None)
    images = [sample_image(i % 50) for i in range(MANY)]
    files = {"train-0": (0, UNSAMPLED), "train-1": (UNSAMPLED, 6), "train-2": (6, MANY)}
    Path("set/train.parquet").unlink()
    for name, (first, end) in files.items():
        labels = [i % 2 for i in range(first, end)]
        write(Path(f"set/{name}.parquet"), images[first:end], labels, rows_per_group=1_000)
    damage_column(Path("set/train-1.parquet"), 0, 0)
    assert_failed(*PARQUET, *HOW["streamed"], says="train-1.parquet row 0: lies in a damaged row")


def damaged_set() -> None:
    """Write a set of 300 training images, 3 unreadable, and 20 held-out ones, 1 unreadable."""
    images: list[bytes | None] = [sample_image(i) for i in range(300)]
    images[17], images[18], images[299] = half_a_jpeg(), b"", None
    write(Path("set/train.parquet"), images, [i % 6 for i in range(300)])
    held_out = [sample_image(i) for i in range(20)]
    held_out[2] = png_bomb()
    write(Path("set/test.parquet"), held_out, [i % 6 for i in range(20)])


@pytest.mark.parametrize("how", HOW)
def test_skipped_images_are_counted_in_the_record_and_told_in_the_log(how: str) -> None:
    damaged_set()
    done = forked.run("train", *SETTINGS, *PARQUET, *HOW[how], "data.on_error=skip")
    assert (done.returncode, done.stderr) == (0, "")
    record, folder = the_run()
    assert record["environment"]["data_skipped"] == {"train": 3, "val": 1}
    names = [told.split(":")[0] for told in record["environment"]["data_skipped_first"]]
    rows = [f"train.parquet row {row}" for row in (17, 18, 299)]
    assert sorted(names) == sorted([*rows, "test.parquet row 2"])
    log = (folder / "train.log").read_text()
    assert "data.on_error=skip: at least 1 of 300 training images cannot be read" in log or (
        "data.on_error=skip: at least 3 of 300 training images cannot be read" in log
    )


def test_measures_are_those_of_a_split_without_the_unreadable_images() -> None:
    damaged_set()
    found = []
    for study in ("damaged", "without"):
        done = forked.run(
            "train", *SETTINGS, *PARQUET, f"study={study}", "data.on_error=skip", "precision=fp64"
        )
        assert done.returncode == 0, done.stdout + done.stderr
        record, _ = the_run(study)
        found.append({key: record["results"][key] for key in ("train_loss", *MEASURES)})
        left = [i for i in range(20) if i != 2]
        images = [sample_image(i) for i in left]
        write(Path("set/test.parquet"), images, [i % 6 for i in left])
    assert found[0] == pytest.approx(found[1], rel=1e-12)


MEASURES = ("val_loss", "val_error", "val_top5_error", "best_val_loss")


@pytest.mark.usefixtures("eventful")
@pytest.mark.parametrize("how", ["uncached", "streamed"])
def test_an_interrupted_run_ends_with_the_same_results_and_the_same_count(how: str) -> None:
    damaged_set()
    command = ["train", *SETTINGS, *PARQUET, *HOW[how], "data.on_error=skip"]
    command += ["attention=eventful", "attention.at=6", "checkpoint_seconds=1e9"]
    stopped = forked.run(*command, "study=stopped")
    assert stopped.returncode == 130, stopped.stdout + stopped.stderr
    assert the_run("stopped")[0]["status"] == "interrupted"
    assert Path("told").exists()
    for study in ("stopped", "whole"):
        done = forked.run(*command, f"study={study}")
        assert done.returncode == 0, done.stdout + done.stderr
    assert "going on from step" in (the_run("stopped")[1] / "train.log").read_text()
    ended, whole = the_run("stopped")[0], the_run("whole")[0]
    for key in ("train_loss", *MEASURES, "steps"):
        assert ended["results"][key] == whole["results"][key]
    assert ended["environment"]["data_skipped"] == whole["environment"]["data_skipped"]
    assert ended["environment"]["data_skipped"] == {"train": 3, "val": 1}


@pytest.mark.slow
def test_devices_that_share_a_run_count_an_image_once() -> None:
    """In one epoch each of two devices meets about half of the images, and of those unsampled."""
    images: list[bytes | None] = [sample_image(i % 50) for i in range(MANY)]
    images[UNSAMPLED : 6 * 100 : 6] = [b"no image"] * 100
    write(Path("set/train.parquet"), images, [i % 6 for i in range(MANY)], rows_per_group=1_000)
    write(
        Path("set/test.parquet"), [sample_image(i) for i in range(20)], [i % 6 for i in range(20)]
    )
    settings = [*PARQUET, *HOW["uncached"], "data.on_error=skip", "data.batch_size=1000"]
    done = forked.run("train", *SETTINGS, *settings, "parallel=ddp", "parallel.devices=2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert the_run()[0]["environment"]["data_skipped"] == {"train": 100, "val": 0}
