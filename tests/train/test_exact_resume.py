"""A killed run that is called again ends bit-identical to one left in peace, however it trains."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import forked
import killing
import pytest
from checkpoints import last_saved
from sample_data import sample_parquet
from torture import results, rows, same

SETTINGS = ["logger=csv", "model=micro-8", "model.depth=2", "model.drop_path=0.3", "log_every=2"]
SETTINGS += ["compute.steps=14", "evaluations=4", "checkpoint_seconds=1e-9", "data.batch_size=300"]
"""About five steps an epoch, a validation after every fourth, rows at all even steps."""

MOMENTS = (
    "checkpoint named 1",  # step 1: nothing is saved yet
    "checkpoint kept 5",  # the epoch's last step
    "checkpoint written 7",
    "validation 2",
    "checkpoint kept 14",  # the last step, before the validation after the fit
)
AUGMENTED = ["data.augment.crop=1", "data.augment.flip=true"]
MIXED = ["data.augment.mixup=0.4", "data.augment.cutmix=0.4"]
WAYS = {
    "fp32 with augmentation, two threads": [*AUGMENTED, "threads=2", "optim.ema=0.9"],
    "bf16 with mixup and cutmix, one thread": [*AUGMENTED, *MIXED, "precision=bf16", "threads=1"],
    "fp16 with loss scaling": ["precision=fp16", "threads=1", "optim.ema=0.9"],
    "dropout of a plugin's own": ["attention=dropping", "threads=1", "position=learned"],
    "images decoded by threads": ["data=parquet", "data.path=images", "data.cache_gib=1e-9"],
    "a stream": ["data=parquet", "data.path=images", "data.streaming=true"],
}
DROPPING = '''
from dataclasses import dataclass

import torch
from torch.nn.functional import dropout

from vitladder.extend.attention import AttentionKernel
from vitladder.extend.registry import load


@dataclass(frozen=True)
class Dropping(AttentionKernel):
    """Drops a tenth of what it gives, in training."""

    def __call__(self, q, k, v, **rest):
        out = load("attention", "naive")(q, k, v, **rest)
        if not (torch.is_grad_enabled() and q.requires_grad):
            return out
        return dropout(out, 0.1)
'''


@pytest.fixture(autouse=True)
def _plugin_and_images() -> None:
    folder = Path("plugins/attention")
    folder.mkdir(parents=True)
    (folder / "dropping.py").write_text(DROPPING)
    sample_parquet(Path("images"), train=1200, val=100)


def train(study: str, *settings: str, moment: str = "") -> int | None:
    """Run the command, to its end or to a moment; return its exit code."""
    process = forked.start(
        ["train", *SETTINGS, *settings, f"study={study}"],
        Path(f".{study}").absolute(),
        environment={killing.VARIABLE: moment},
        before=killing.at_moment,
    )
    process.join(120)
    return process.exitcode


def only_run(study: str) -> Path:
    [folder] = (path for path in Path("outputs", study).iterdir() if path.is_dir())
    return folder


def assert_same(study: str, moment: str) -> None:
    run, whole = only_run(study), only_run("whole")
    assert rows(run) == rows(whole), moment
    assert results(run) == results(whole), moment
    assert same(last_saved(run), last_saved(whole)), moment


@pytest.mark.slow
@pytest.mark.parametrize("settings", WAYS.values(), ids=WAYS)
def test_a_run_that_is_killed_at_any_moment_ends_as_if_it_had_not_been(settings: list[str]) -> None:
    assert train("whole", *settings) == 0, Path(".whole.err").read_text()
    steps = [int(row["step"]) for row in rows(only_run("whole"))]
    assert steps == sorted(set(steps))
    assert steps[-1] == 14
    # The first way meets all moments, each other one the next of them and a validation.
    way = list(WAYS.values()).index(settings)
    moments = (MOMENTS[way - 1], "validation 2") if way else MOMENTS
    for number, moment in enumerate(moments):
        study = f"killed-{number}"
        assert train(study, *settings, moment=moment) == -signal.SIGKILL, moment
        assert train(study, *settings) == 0
        assert_same(study, moment)


@pytest.mark.slow
def test_a_run_on_two_devices_that_is_killed_ends_as_if_it_had_not_been() -> None:
    settings = ["parallel=ddp", "parallel.devices=2", "compute.steps=80", *MIXED]
    assert train("whole", *settings) == 0
    arguments = ["train", *SETTINGS, *settings, "study=killed"]
    process = forked.start(arguments, Path(".killed").absolute())
    while not list(Path("outputs").glob("killed/*/checkpoints/step-??.*")):
        process.join(0.002)
        assert process.is_alive()
    assert process.pid is not None
    os.killpg(process.pid, signal.SIGKILL)
    process.join()
    assert last_saved(only_run("killed"))["global_step"] < 80
    assert train("killed", *settings) == 0
    assert_same("killed", "any")
