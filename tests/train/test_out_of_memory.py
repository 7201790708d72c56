"""A run without room for its step goes on with a smaller micro-batch to the same end."""

from __future__ import annotations

import csv
import json
import re
import resource
from datetime import datetime
from pathlib import Path
from typing import Any

import forked
import pytest

from vitladder.compose import compose_config
from vitladder.compute.plan import resolve
from vitladder.data.describe import describe
from vitladder.errors import UserError
from vitladder.train.out_of_memory import is_out_of_memory, settled

SETTINGS = ["model=micro-8", "compute.steps=12", "log_every=1", "evaluations=2", "logger=csv"]
SETTINGS += ["threads=1", "checkpoint_seconds=1e-9", "attention=roomy"]
ROOMY = '''
from dataclasses import dataclass

import torch

from vitladder.extend.attention import AttentionKernel
from vitladder.extend.registry import load

CALLS = 0


@dataclass(frozen=True)
class Roomy(AttentionKernel):
    """Has no room for more than so many images in training, after so many calls."""

    images: int = 1000
    after: int = 0

    def __call__(self, q, k, v, **rest):
        global CALLS
        if torch.is_grad_enabled() and q.requires_grad and q.shape[2] > 15:
            CALLS += 1
            if len(q) > self.images and CALLS > self.after:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return load("attention", "naive")(q, k, v, **rest)
'''


@pytest.fixture(autouse=True)
def _roomy() -> None:
    folder = Path("plugins/attention")
    folder.mkdir(parents=True)
    (folder / "roomy.py").write_text(ROOMY)


def only_run(study: str) -> tuple[dict[str, Any], list[dict[str, str]]]:
    """The record and the rows of a study's one run, without speeds."""
    [file] = Path("outputs", study).glob("*/record.json")
    with (file.parent / "metrics.csv").open() as opened:
        rows = list(csv.DictReader(opened))
    timed = ("images_per_s", "mfu")
    return json.loads(file.read_text()), [
        {key: value for key, value in row.items() if key not in timed} for row in rows
    ]


def halvings(record: dict[str, Any]) -> list[tuple[int, int]]:
    return [(h["step"], h["micro_batch"]) for h in record["environment"]["out_of_memory"]]


@pytest.mark.slow
def test_the_micro_batch_is_halved_until_there_is_room_as_if_one_had_asked_for_it() -> None:
    done = forked.run("train", *SETTINGS, "study=halved", "attention.images=20")
    assert done.returncode == 0, done.stderr
    assert "out of memory: the micro-batch is halved from 64 to 32 from step 0\n" in done.stdout
    assert "out of memory: the micro-batch is halved from 32 to 16 from step 0\n" in done.stdout
    asked = ["study=asked", "attention.images=20", "parallel.micro_batch=16"]
    # The held-out batches are halved too.
    assert forked.run("train", *SETTINGS, *asked, "data.val_batch_size=128").returncode == 0
    record, rows = only_run("halved")
    assert halvings(record) == [(0, 32), (0, 16)]
    assert record["config"]["parallel"]["micro_batch"] is None
    assert rows == only_run("asked")[1]


@pytest.mark.slow
def test_a_run_goes_on_from_its_last_checkpoint_and_later_sessions_know() -> None:
    first = forked.run("train", *SETTINGS, "attention.images=40", "attention.after=5")
    assert first.returncode == 0, first.stderr
    record, rows = only_run("default")
    assert halvings(record) == [(5, 32)]
    begin, end = (datetime.fromisoformat(record["times"][name]) for name in ("start", "end"))
    assert record["times"]["seconds"] <= (end - begin).total_seconds() + 1
    assert [row["step"] for row in rows] == [str(step + 1) for step in range(12)]

    config = resolve(compose_config(SETTINGS), describe(compose_config([]).data))
    [folder] = Path("outputs/default").iterdir()
    later = settled(config, folder)
    assert (later.parallel.micro_batch, later.data.val_batch_size) == (32, 256)
    assert settled(later, folder) == later

    (folder / "halvings.json").write_text("[{")
    with pytest.raises(UserError, match=r"halvings.json is damaged .* remove it, and the run goes"):
        settled(config, folder)


@pytest.mark.slow
def test_below_one_image_the_run_has_failed_with_the_planners_figures() -> None:
    done = forked.run("train", *SETTINGS, "attention.images=0", "data.batch_size=4")
    assert done.returncode == 1
    record, _ = only_run("default")
    assert record["status"] == "failed"
    planned = r"out of memory with a micro-batch of 1: the plan was .* GiB of tensors at a "
    assert re.fullmatch(planned + r"micro-batch of 4, and .* has .* GiB", record["error"])
    assert f"failed: {record['error']}" in done.stdout


@pytest.mark.parametrize(
    ("said", "no_room"),
    [
        ("[enforce fail at alloc_cpu.cpp:73] . DefaultCPUAllocator: can't allocate memory", True),
        ("could not create a primitive", True),
        ("could not create a primitive descriptor for the matmul primitive.", False),
        ("mat1 and mat2 shapes cannot be multiplied", False),
    ],
)
def test_what_libraries_say_where_there_is_no_room_is_known(said: str, no_room: bool) -> None:
    assert is_out_of_memory(RuntimeError(said)) == no_room
    assert not is_out_of_memory(ValueError(said))


def leave_little_room() -> None:
    """Let this process have 500 MiB more than it has."""
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + 500 * 2**20,) * 2)


@pytest.mark.slow
def test_a_cpu_that_refuses_memory_is_out_of_memory_too() -> None:
    large = ["model.width=128", "model.depth=4", "data.batch_size=1024", "compute.steps=2"]
    process = forked.start(
        ["train", *SETTINGS[1:], *large, "attention=naive"],
        Path("said").absolute(),
        before=leave_little_room,
    )
    process.join(120)
    assert process.exitcode == 0, [Path(f"said.{end}").read_text() for end in ("out", "err")]
    record, _ = only_run("default")
    assert halvings(record)[0] == (0, 512)
    assert "can't allocate memory" in record["environment"]["out_of_memory"][0]["reason"]


@pytest.mark.slow
def test_the_processes_of_a_run_start_again_with_halved_micro_batches() -> None:
    shared = ["parallel=ddp", "parallel.devices=2", "attention.images=20", "compute.steps=4"]
    done = forked.run("train", *SETTINGS, *shared)
    assert done.returncode == 0, done.stdout + done.stderr
    record, rows = only_run("default")
    assert halvings(record) == [(0, 16)]
    assert record["status"] == "complete"
    assert len(rows) == 4
