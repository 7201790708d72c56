"""What devices cannot share is refused before anything starts, in one line that names it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitladder.compose import compose_config
from vitladder.config import Config
from vitladder.errors import UserError
from vitladder.layout import pieces, share
from vitladder.parallel_rules import check_parallel
from vitladder.together import check_together, processes_together, rank_together

TORCHRUN = {"TORCHELASTIC_RUN_ID": "none", "WORLD_SIZE": "2", "RANK": "1"}
SRUN = {"SLURM_NTASKS": "4", "SLURM_STEP_NUM_TASKS": "4", "SLURM_PROCID": "3"}
BATCH_SCRIPT = {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "4", "SLURM_PROCID": "0"}
FOUR = ["parallel.devices=4"]
LARGE = ["model.heads=4", "model.depth=4"]
MANY = ["parallel.devices=99999", "data.batch_size=99999", "compute.steps=1"]
POWERSGD = ["parallel=ddp", "parallel.compress=powersgd"]


@pytest.fixture(autouse=True)
def variables(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What torchrun or srun set: nothing unless a test says so, wherever the tests run."""
    for name in {*TORCHRUN, *SRUN, *BATCH_SCRIPT}:
        monkeypatch.delenv(name, raising=False)
    for name, value in getattr(request, "param", {}).items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (["parallel=ddp", "parallel.devices=1"], "parallel=ddp shares the work of two"),
        (["parallel.devices=2"], "parallel=single trains on one device"),
        (["parallel.nodes=2"], "parallel=single trains on one device of one node"),
        (["parallel=ddp", "parallel.tensor=2"], "parallel.tensor=2 is of parallel=fsdp_tp"),
        (["parallel=fsdp_tp", "parallel.tensor=3"], "parallel.tensor=3 out of 4 devices"),
        (["parallel=fsdp_tp", "parallel.tensor=4"], "parallel.tensor=4 out of 4 devices"),
        (["parallel=fsdp_tp", "parallel.tensor=1"], "parallel.tensor=1 out of 4 devices"),
        (["parallel=fsdp_tp", "parallel.tensor=null"], "between 1 and 4, or parallel=fsdp or tp"),
        (["parallel=tp", "model.heads=3", "model.width=24"], "model.heads=3 cannot be split"),
        (["parallel=tp", *FOUR], "model.heads=2 cannot be split over the 4 devices"),
        (["parallel=tp", "model.kv_heads=1"], "model.kv_heads=1 cannot be split over the 2"),
        (["parallel=fsdp_tp", "model.kv_heads=1"], "model.kv_heads=1 cannot be split over the 2"),
        (["parallel=tp", "model.mlp_ratio=1.04"], "(by model.mlp_ratio)=33 cannot be split"),
        (["parallel=pipeline", "parallel.devices=3"], "as many blocks; model.depth=2"),
        (["parallel=ddp", "data.batch_size=1"], "data.batch_size=1 is fewer than one image"),
        (["parallel=fsdp", "data.batch_size=3", *FOUR], "data.batch_size=3 is fewer than one"),
        (["parallel=ddp", "parallel.micro_batch=33"], "more than a device's 32 images"),
        (["parallel=tp", "parallel.micro_batch=65"], "is more than data.batch_size=64"),
        (["parallel=ddp", "data.batch_size=3", "parallel.micro_batch=1"], "too few images for 2"),
        (["parallel=pipeline", "parallel.micro_batch=7"], "parallel.micro_batch=7 does not divide"),
        (["parallel=pipeline", "parallel.micro_batch=64"], "data.batch_size=64 makes 1"),
        (["parallel=pipeline", "data.batch_size=11"], "data.batch_size=11 makes 1; give a batch"),
        ([*POWERSGD, "parallel.compress_from=1"], "parallel.compress_from=1 is too early"),
        ([*POWERSGD, "precision=fp16"], "parallel.compress=powersgd feeds back the error"),
        (["parallel=ddp", "tune=true"], "tune=true measures one device"),
        (["tune=true", "precision=fp16"], "with precision=fp16; leave tune out"),
        (["compile=fast"], "compile=fast is unknown; it is true, false or max-autotune"),
    ],
)
def test_what_cannot_be_shared_is_one_line_that_names_it(overrides: list[str], says: str) -> None:
    with pytest.raises(UserError) as caught:
        compose_config(overrides)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["fsdp", "tp", "fsdp_tp", "pipeline"])
def test_only_whole_gradients_are_scaled_and_compressed(name: str) -> None:
    with pytest.raises(UserError, match=f"precision=fp16 needs loss scaling.*parallel={name} does"):
        compose_config([f"parallel={name}", "precision=fp16", *LARGE])
    with pytest.raises(UserError, match=rf"parallel\.compress=bf16 compresses.*parallel={name}"):
        compose_config([f"parallel={name}", "parallel.compress=bf16", *LARGE])


@pytest.mark.parametrize(
    "overrides",
    [
        ["parallel=ddp", "precision=fp16", "parallel.compress=fp16"],
        [*POWERSGD, "parallel.compress_from=2"],
        ["parallel=ddp", "parallel.devices=1", "parallel.nodes=2"],
        ["parallel=ddp", "data.batch_size=2"],
        ["parallel=ddp", "parallel.micro_batch=32"],
        ["parallel=fsdp", "model.heads=1", "model.mlp_ratio=1.04", "precision=bf16"],
        ["parallel=tp", *FOUR, *LARGE, "precision=bf16", "data.batch_size=1"],
        ["parallel=tp", "model.heads=4", "model.kv_heads=2", "parallel.micro_batch=64"],
        ["parallel=fsdp_tp", "parallel.devices=6", "parallel.tensor=2", "model.heads=2"],
        ["parallel=pipeline", "parallel.micro_batch=32"],
        ["parallel=pipeline", *FOUR, "model.depth=4", "data.batch_size=4"],
        ["parallel=pipeline", "parallel.devices=3", "ladder.relative=1", "data.batch_size=6"],
        ["tune=true", "precision=bf16"],
    ],
)
def test_what_can_be_shared_passes(overrides: list[str]) -> None:
    check_parallel(compose_config(overrides))


@cache
def two_devices() -> Config:
    return compose_config(["parallel=ddp"])


@given(st.integers(2, 9), st.integers(9, 60), st.integers(1, 30))
def test_a_run_has_an_image_for_every_micro_batch_of_every_device_or_is_refused(
    devices: int, batch: int, micro_batch: int
) -> None:
    parallel = replace(two_devices().parallel, devices=devices, micro_batch=micro_batch)
    data = replace(two_devices().data, batch_size=batch)
    config = replace(two_devices(), parallel=parallel, data=data)
    sizes = [end - first for first, end in (share(batch, r, devices) for r in range(devices))]
    if min(sizes) >= pieces(config) and micro_batch <= max(sizes):
        check_parallel(config)
    else:
        with pytest.raises(UserError, match=r"parallel\.micro_batch"):
            check_parallel(config)


# Processes that torchrun or srun started


@pytest.mark.parametrize(
    ("variables", "processes", "rank"),
    [
        ({}, 1, 0),
        (TORCHRUN, 2, 1),
        (SRUN, 4, 3),
        (BATCH_SCRIPT, 1, 0),  # one process, whatever srun would start in it
        ({**SRUN, **TORCHRUN}, 2, 1),  # srun torchrun: torchrun's are the processes of the run
        ({"WORLD_SIZE": "2", "RANK": "1"}, 1, 0),  # left over from something else
    ],
    indirect=["variables"],
)
def test_torchrun_and_srun_say_how_many_processes_there_are(processes: int, rank: int) -> None:
    assert (processes_together(), rank_together()) == (processes, rank)


@pytest.mark.parametrize(
    ("variables", "overrides", "multirun", "says"),
    [
        (TORCHRUN, [], False, "2 processes were started together, and parallel=single"),
        (TORCHRUN, ["parallel=ddp", *FOUR], False, "and parallel.nodes=1 is a run of 4"),
        (SRUN, ["parallel=ddp"], False, "4 processes were started together, and parallel=ddp"),
        (SRUN, ["parallel=ddp", *FOUR], True, "train -m: 4 processes were started together"),
        ({}, ["parallel=ddp", "parallel.nodes=2"], False, "parallel.nodes=2 needs this command"),
        (SRUN, ["parallel=ddp", "parallel.nodes=2"], False, None),
        (SRUN, ["parallel=ddp", *FOUR], False, None),
        (TORCHRUN, ["parallel=ddp"], False, None),
        (BATCH_SCRIPT, ["parallel=ddp"], True, None),
    ],
    indirect=["variables"],
)
def test_the_processes_that_there_are_must_be_those_of_the_run(
    overrides: list[str], multirun: bool, says: str | None
) -> None:
    parallel = compose_config(overrides).parallel
    if says is None:
        check_together(parallel, multirun=multirun)
        return
    with pytest.raises(UserError) as caught:
        check_together(parallel, multirun=multirun)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


# The command


@pytest.mark.parametrize(
    ("arguments", "variables", "says"),
    [
        (["parallel=fsdp", "precision=fp16"], {}, "precision=fp16 needs loss scaling"),
        (["parallel=ddp", "parallel.devices=999"], {}, "data.batch_size=64 is fewer than one"),
        (["parallel=ddp", *MANY], {}, "parallel.devices=99999 is more than there are"),
        (["parallel=tp", "model.heads=3", "model.width=24"], {}, "model.heads=3 cannot be split"),
        (["parallel=ddp", "parallel.nodes=2"], {}, "parallel.nodes=2 needs this command"),
        (["-m", "parallel=ddp", "seed=0,1"], TORCHRUN, "train -m: 2 processes were started"),
    ],
    indirect=["variables"],
)
def test_the_command_refuses_before_it_writes_anything(
    arguments: list[str], says: str, here: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    done = here("train", *arguments, "parallel.device=cpu")
    assert (done.returncode, done.stdout) == (2, "")
    [line] = done.stderr.splitlines()
    assert line.startswith("vitladder: ")
    assert says in line
    assert not Path("outputs").exists()
