"""Overrides become Configs; what is wrong is said in one line, with the nearest right name."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from vitladder.compose import (
    check_is_one_run,
    compose_config,
    compose_jobs,
    fixed_overrides,
    lists_its_runs,
    studies,
)
from vitladder.errors import UserError


@pytest.mark.parametrize(
    ("override", "says"),
    [
        (
            "attention=spda",
            "no attention plugin 'spda'; did you mean 'sdpa'? "
            "(have: flash, flex, linear, naive, sdpa, window)",
        ),
        ("position=sincos", "no position plugin 'sincos'; did you mean 'sincos2d'?"),
        ("attention.window=7", "no option of attention=sdpa called 'window'"),
        ("position.temprature=7", "did you mean 'temperature'?"),
        ("position.temperature=hot", "position.temperature='hot' must be of type float"),
        ("model.wdith=64", "no setting 'model.wdith'; did you mean 'model.width'?"),
        ("modle.width=64", "no setting 'modle.width'; did you mean 'model.width'?"),
        ("model=s17", "no choice of model 's17'; did you mean 's16'?"),
        ("data=parket", "no choice of data 'parket'; did you mean 'parquet'?"),
        ("model.width=wide", "model.width='wide' is impossible; it must be a whole number"),
        ("+foo=1", "'+foo=1': settings can be changed, not added or deleted"),
        ("+model.foo=1", "settings can be changed, not added or deleted"),
        ("~model", "'~model': one of a group is always chosen; write model=NAME"),
        ("+sweep=dmo", "no study 'dmo'; did you mean 'demo'?"),
        ("sweep=demo", "a study is added with a plus: +sweep=NAME"),
        ("+sweep=demo,shape", "'+sweep=demo,shape': a command has one study"),
        ("width", "settings are given as KEY=VALUE"),
        ("model.width=[", "settings are given as KEY=VALUE"),
        ("model.width=8,16", "which needs -m"),
        ("model={width:8}", "one of them is set as model.KEY=VALUE"),
    ],
)
def test_a_wrong_override_is_one_line(override: str, says: str) -> None:
    with pytest.raises(UserError) as caught:
        compose_config([override])
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_multirun_is_the_product_of_its_values() -> None:
    jobs = compose_jobs(["model.width=8,16", "compute.flops=1e9,1e10", "seed=1"])
    assert sorted((job[0], float(job[1].split("=")[1]), job[2]) for job in jobs) == [
        ("model.width=16", 1e9, "seed=1"),
        ("model.width=16", 1e10, "seed=1"),
        ("model.width=8", 1e9, "seed=1"),
        ("model.width=8", 1e10, "seed=1"),
    ]


def test_a_study_brings_its_runs_and_the_command_line_overrides_them() -> None:
    assert len(compose_jobs(["+sweep=demo"])) >= 20
    jobs = compose_jobs(["+sweep=demo", "compute.flops=5e9", "ladder.relative=1,2"])
    assert len(jobs) == 2
    assert all("compute.flops=5000000000.0" in job for job in jobs)


@pytest.mark.parametrize("studies", [["+sweep=demo,shape"], ["+sweep=demo", "+sweep=shape"]])
def test_a_command_has_one_study(studies: list[str]) -> None:
    with pytest.raises(UserError, match=r"a command has one study"):
        compose_jobs(studies)


def test_one_run_of_a_study_is_one_whose_sweeps_are_all_set() -> None:
    with pytest.raises(UserError, match=r"sweeps compute\.flops and ladder\.relative, .* add -m"):
        check_is_one_run(["+sweep=demo"], "train")
    check_is_one_run(["+sweep=demo", "compute.flops=1e9", "ladder.relative=1"], "train")
    check_is_one_run(["model.width=64"], "train")


def test_every_study_of_the_package_composes() -> None:
    assert {"demo", "isoflop", "kernels", "shape"} <= set(studies())
    for name in studies():
        jobs = compose_jobs([f"+sweep={name}"])
        assert len(jobs) >= 2
        needs_path = ["data.path=somewhere"] if name == "isoflop" else []
        assert compose_config([*jobs[0], *needs_path]).study == name


def test_a_study_in_the_working_folder_is_found_and_must_not_hide_another() -> None:
    Path("sweeps").mkdir()
    Path("sweeps/mine.yaml").write_text(
        "study: mine\nhydra: {sweeper: {params: {seed: '1,2,3'}}}\n"
    )
    assert len(compose_jobs(["+sweep=mine"])) == 3
    Path("sweeps/demo.yaml").write_text("study: demo\n")
    assert len(compose_jobs(["+sweep=mine"])) == 3
    with pytest.raises(UserError, match="two studies are called 'demo'"):
        compose_jobs(["+sweep=demo"])


def test_a_copy_of_a_study_in_the_working_folder_is_the_same_study() -> None:
    shutil.copytree(Path(__file__).parents[1] / "sweeps", "sweeps")
    assert len(compose_jobs(["+sweep=demo"])) >= 20


def test_a_study_that_is_not_yaml_is_one_line() -> None:
    Path("sweeps").mkdir()
    Path("sweeps/mine.yaml").write_text("study: [\n")
    with pytest.raises(UserError, match=r"mine\.yaml is not readable YAML"):
        compose_config(["+sweep=mine"])
    assert compose_config([]).study == "default"


def test_a_local_kernel_is_chosen_and_its_options_are_settings() -> None:
    folder = Path("plugins/attention")
    folder.mkdir(parents=True)
    (folder / "mine.py").write_text("class Mine:\n    window: int = 7\n")
    config = compose_config(["attention=mine", "attention.window=9"])
    assert config.attention == {"name": "mine", "window": 9}


def test_a_sweeper_that_searches_has_no_list_of_runs() -> None:
    assert lists_its_runs(["+sweep=demo", "seed=1,2"])
    assert fixed_overrides(["seed=1,2", "model=micro", "optim.lr=interval(0.1,1)"]) == [
        "model=micro"
    ]
