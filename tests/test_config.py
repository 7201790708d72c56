"""What a Config refuses, what it fills in, and what names a run."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vitladder.compose import compose_config
from vitladder.config import DEFAULT_FLOPS, flatten, run_key
from vitladder.errors import UserError


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("model.width=65", "model.width=65 is not a multiple of model.heads=2"),
        ("compute.flops=-1", "compute.flops=-1 is impossible"),
        ("compute.flops=nan", "compute.flops=nan is impossible"),
        ("compute.flops=inf", "compute.flops=inf is impossible"),
        ("compute.images=0", "compute.images=0 is impossible"),
        ("compute.steps=1.5", "compute.steps=1.5 must be a whole number"),
        ("data.batch_size=0", "data.batch_size=0 is impossible"),
        ("data.val_fraction=1.5", "data.val_fraction=1.5 is impossible"),
        ("model.drop_path=-0.1", "model.drop_path=-0.1 is impossible"),
        ("optim.weight_decay=-1", "optim.weight_decay=-1 is impossible"),
        ("model.pool=tokn", "no model.pool called 'tokn'; did you mean 'token'?"),
        ("on_error=halt", "no on_error called 'halt'"),
        ("study=a/b", "study='a/b' is not a folder name"),
        ("study=..", "study='..' is not a folder name"),
        ("study='a:b'", "study='a:b' is not a folder name"),
        ("study=${nope}", "Interpolation key 'nope' not found"),
        ("seed=4294967296", "seed=4294967296 is too large"),
        ("model.channels=2", "model.channels=2 is impossible; it is 1 (grey) or 3 (RGB)"),
        ("optim.width_power=nan", "optim.width_power=nan is impossible"),
        ("data=parquet", "data=parquet needs data.path"),
        ("parallel.devices=2", "parallel=single trains on one device"),
        ("schedule.warmup=1.1", "schedule.warmup=1.1 is impossible"),
    ],
)
def test_an_impossible_value_is_one_line_that_names_it(override: str, says: str) -> None:
    with pytest.raises(UserError) as caught:
        compose_config([override])
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_length_is_exactly_one_of_three() -> None:
    assert compose_config([]).compute.flops == DEFAULT_FLOPS
    steps = compose_config(["compute.steps=1e3"]).compute
    assert (steps.flops, steps.images, steps.steps) == (None, None, 1000)
    with pytest.raises(UserError, match=r"compute\.flops and compute\.images are both given"):
        compose_config(["compute.flops=1e9", "compute.images=5"])


def test_warm_up_and_cooldown_fit_into_the_run() -> None:
    with pytest.raises(UserError, match="together exceed the run"):
        compose_config(["schedule=wsd", "schedule.warmup=0.6", "schedule.cooldown=0.6"])


def key(*overrides: str, data: str = "fingerprint") -> str:
    return run_key(compose_config(list(overrides)), data)


@pytest.mark.parametrize(
    "override",
    [
        "study=other",
        "outputs=elsewhere",
        "threads=1",
        "logger=csv",
        "log_every=3",
        "evaluations=2",
        "checkpoint_seconds=1",
        "data.val_batch_size=7",
        "data.cache=somewhere",
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
    ],
)
def test_what_changes_a_result_changes_the_key(override: str) -> None:
    assert key(override) != key()


def test_other_data_is_another_run_wherever_it_lies() -> None:
    assert key(data="a") != key(data="b")
    here, there = ("data=parquet", "data.path=here"), ("data=parquet", "data.path=there")
    assert key(*here) == key(*there)


def test_flatten_has_every_setting_once_by_its_dotted_name() -> None:
    config = compose_config([])
    flat = flatten(config)
    assert flat["model.width"] == config.model.width
    assert flat["position.name"] == "sincos2d"
    changed = replace(config, model=replace(config.model, width=64))
    assert {k for k, v in flatten(changed).items() if flat[k] != v} == {"model.width"}
