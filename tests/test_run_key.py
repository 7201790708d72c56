"""What names a run: settings, data and code that can change its result."""

from __future__ import annotations

from pathlib import Path

import pytest

from vitladder.compose import compose_config
from vitladder.run_key import run_key


def key(*overrides: str, data: str = "fingerprint") -> str:
    return run_key(compose_config(list(overrides)), data)


@pytest.mark.parametrize(
    "override",
    [
        "study=other",
        "outputs=elsewhere",
        "threads=1",
        "compile=true",
        "parallel.micro_batch=8",
        "parallel.remat=block",
        "tune=false",
        "logger=csv",
        "log_every=3",
        "evaluations=2",
        "checkpoint_seconds=1",
        "data.val_batch_size=7",
        "data.cache=somewhere",
        "data.on_error=skip",
        "parallel.device=cpu",
        "on_error=stop",
    ],
)
def test_what_changes_no_result_does_not_change_the_key(override: str) -> None:
    assert key(override) == key()


@pytest.mark.parametrize(
    "override",
    [
        "seed=1",
        "model.width=36",
        "attention=naive",
        "position.temperature=100",
        "optim.lr=0.5",
        "schedule.warmup=0.2",
        "data.batch_size=32",
        "data.augment.crop=1",
        "compute.flops=2e10",
        "precision=bf16",
        "tune=true",
    ],
)
def test_what_changes_a_result_changes_the_key(override: str) -> None:
    assert key(override) != key()


def test_an_option_that_came_later_counts_where_it_is_not_what_runs_had() -> None:
    assert key("attention=naive", "attention.products=input") != key("attention=naive")


def test_devices_change_no_key_but_what_compression_loses_does() -> None:
    for shared in (["parallel=fsdp", "parallel.devices=4"], ["parallel=pipeline"]):
        assert key(*shared) == key()
    compressed = ["parallel=ddp", "parallel.compress=powersgd"]
    keys = [key("parallel=ddp", "parallel.compress=fp16"), key(*compressed)]
    keys += [key(*compressed, f"parallel.{more}") for more in ("compress_rank=2", "devices=4")]
    assert len({key(), *keys}) == 5


def test_the_keys_of_runs_that_are_on_disk_stay_theirs() -> None:
    assert key() == "dc8585a8286c"
    assert key("model=s16", "precision=bf16") == "acdfd4c1b536"
    assert key("attention=naive", "seed=3", "model.drop_path=0.1") == "14fae72b91e0"


def test_other_data_is_another_run_wherever_it_lies() -> None:
    assert key(data="a") != key(data="b")
    here, there = ("data=parquet", "data.path=here"), ("data=parquet", "data.path=there")
    assert key(*here) == key(*there)


def test_an_edited_plugin_of_ones_own_is_another_run() -> None:
    folder = Path("plugins/attention")
    folder.mkdir(parents=True)
    mine = folder / "mine.py"
    mine.write_text("class Mine:\n    window: int = 7\n")
    before, packaged = key("attention=mine"), key()
    mine.write_text("class Mine:\n    window: int = 7\n    # another kernel\n")
    assert key("attention=mine") != before
    assert key() == packaged
    mine.write_text("class Mine:\n    window: int = 7\n")
    assert key("attention=mine") == before
