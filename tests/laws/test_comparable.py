"""Runs share a law where they differ in size, compute and seed alone; else every key is named."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest

from vitladder.compose import compose_config
from vitladder.laws.comparable import difference, groups
from vitladder.runs.record import Record, Results


def record(*overrides: str, data: str = "0a1b", key: str = "a") -> Record:
    """A complete run of these overrides."""
    config: dict[str, Any] = asdict(compose_config(overrides))
    return Record(
        run_key=key,
        study="demo",
        status="complete",
        config=config,
        plan={},
        results=Results(),
        environment={"data": data},
        times={},
        command="",
    )


@pytest.mark.parametrize(
    "overrides",
    [
        "model.width=32 model.depth=3 model.heads=4 model.mlp_ratio=2",
        "model.width=32 model.heads=4 model.kv_heads=4",
        "compute.steps=7",
        "compute.flops=1e12 ladder.relative=2 ladder.exponent=0.4",
        "seed=3",
        "threads=1 outputs=elsewhere study=other logger=csv parallel.device=cpu data.cache=there",
    ],
)
def test_size_compute_seed_and_what_changes_no_result_may_differ(overrides: str) -> None:
    assert difference([record(), record(*overrides.split())]) is None


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("optim.lr=0.01", "optim.lr (0.005 in run a, 0.01 in run b)"),
        ("attention=naive", "attention.name (naive in run b, sdpa in run a)"),
        ("model.kv_heads=1", "model.heads / model.kv_heads (1 in run a, 2.0 in run b)"),
        ("model.patch=4", "model.patch (2 in run a, 4 in run b)"),
        ("model.qk_norm=false", "model.qk_norm (false in run b, true in run a)"),
        ("data.augment.flip=true", "data.augment.flip (false in run a, true in run b)"),
        ("precision=bf16", "precision.name (bf16 in run b, fp32 in run a)"),
        ("optim.betas=[0.8,0.9]", "optim.betas ([0.8, 0.9] in run b, [0.9, "),
    ],
)
def test_any_other_setting_is_named_with_its_values(override: str, said: str) -> None:
    why = difference([record(), record(override, key="b")])
    assert why is not None
    assert said in why


def test_other_data_is_named_by_the_start_of_its_fingerprint() -> None:
    why = difference([record(data="0" * 64), record(data="1" * 64, key="b")])
    assert f"environment.data ({'0' * 12}... in run a, {'1' * 12}... in run b)" in str(why)


def test_several_runs_of_a_value_are_counted_and_one_is_named() -> None:
    runs = [record(key=key) for key in "abc"]
    why = difference([*runs, record("optim.lr=1", key="stray")])
    assert "optim.lr (0.005 in 3 runs, 1.0 in run stray)" in str(why)


def test_many_keys_and_values_stay_one_short_line() -> None:
    changed = ["optim.lr=1", "optim.clip=9", "precision=bf16", "schedule=wsd"]
    runs = [record(f"optim.weight_decay={n / 100}", key=f"r{n}") for n in range(9)]
    why = difference([*runs, record(*changed)])
    assert why is not None
    assert "precision.name" in why
    assert "more settings" in why
    assert "\n" not in why
    swept = difference(runs)
    assert "optim.weight_decay (0.0 in run r0, 0.01 in run r1" in str(swept)
    assert "and 5 more values)" in str(swept)


def test_a_setting_that_an_older_record_does_not_hold_is_null() -> None:
    old = record()
    del old.config["model"]["qk_norm"]
    why = difference([old, record(key="b")])
    assert "model.qk_norm (true in run b, null in run a)" in str(why)


def test_runs_without_settings_share_a_law() -> None:
    bare = Record("a", "demo", "complete", {}, {}, Results(), {}, {}, "")
    assert difference([bare, bare]) is None
    assert difference([]) is None


def test_groups_are_named_by_what_sets_them_apart() -> None:
    runs = [
        record("attention=naive", "seed=1", key="a"),
        record("attention=window", key="b"),
        record("attention=naive", key="c"),
    ]
    found = {name: [run.run_key for run in group] for name, group in groups(runs).items()}
    assert found == {"attention.name=naive": ["a", "c"], "attention.name=window": ["b"]}


def test_options_of_one_plugin_name_its_groups() -> None:
    runs = [record("attention=window", f"attention.radius={radius}") for radius in (1, 2)]
    assert list(groups(runs)) == ["attention.radius=1", "attention.radius=2"]


def test_runs_that_share_a_law_are_one_group_without_a_name() -> None:
    assert list(groups([record(), record("seed=1"), record("model.width=8")])) == [""]


def test_tuned_runs_are_compared_by_the_precision_they_were_trained_in() -> None:
    tuned = [record("tune=true"), record("tune=true", key="b")]
    for one, precision in zip(tuned, ("fp32", "bf16"), strict=True):
        one.environment["precision"] = precision
    assert "precision.name (bf16 in run b, fp32 in run a)" in str(difference(tuned))
    tuned[1].environment["precision"] = "fp32"
    assert difference(tuned) is None
