"""A study's runs are composed quickly, and to the same configs as one by one."""

from __future__ import annotations

from pathlib import Path

import pytest

from vitladder.compose import compose_config
from vitladder.compose_study import compose_study
from vitladder.errors import UserError

STUDIES = {
    "values": [
        ["compute.flops=1e10", "model.width=32"],
        ["compute.flops=2e10", "model.width=48"],
        ["compute.flops=3", "model.width=64"],
    ],
    "files": [
        ["model=micro", "compute.steps=10", "optim.lr=1e-3"],
        ["model=micro-64", "compute.steps=20", "optim.lr=0.002"],
        ["model=micro", "compute.steps=30", "optim.lr=3e-3"],
    ],
    "plugins": [
        ["attention=naive", "position=rope_mixed", "position.theta=10"],
        ["attention=sdpa", "position=rope_mixed", "position.theta=20.5"],
        ["attention=naive", "position=rope_mixed", "position.theta=100"],
    ],
    "kinds of values": [
        ["optim.betas=[0.9,0.95]", "model.heads=null", "data.augment.flip=true", "study=one"],
        ["optim.betas=[0.8,0.9]", "model.heads=4", "data.augment.flip=false", "study=two"],
        ["optim.betas=[0.7,0.8]", "model.heads=null", "data.augment.flip=true", "study='3'"],
    ],
    "a study": [
        ["+sweep=isoflop", "data.path=x", "compute.flops=1e10", "ladder.relative=0.5"],
        ["+sweep=isoflop", "data.path=x", "compute.flops=3e10", "ladder.relative=2"],
    ],
    "settings of Hydra's": [
        ["hydra/launcher=joblib", "hydra.launcher.n_jobs=1", "seed=0"],
        ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "seed=1"],
    ],
    "a value given twice, and one taken back": [
        ["seed=1", "seed=2", "compute.steps=5", "compute.images=null"],
        ["seed=3", "seed=4", "compute.steps=null", "compute.images=128"],
        ["seed=5", "seed=6", "compute.steps=null", "compute.images=null"],
    ],
    "mappings": [
        ["data.augment={crop:4}", "seed=1"],
        ["data.augment={flip:true}", "seed=2"],
    ],
    "a value that refers to another": [
        ["seed=1", "study=a", "data.cache=${outputs}/one"],
        ["seed=2", "study=b", "data.cache=${outputs}/two"],
    ],
}


@pytest.mark.parametrize("name", STUDIES)
def test_runs_are_those_that_hydra_composes_one_by_one(name: str) -> None:
    assert list(compose_study(STUDIES[name])) == [compose_config(job) for job in STUDIES[name]]


def test_a_study_whose_values_refer_to_each_other_is_right_for_every_run() -> None:
    Path("sweeps").mkdir()
    Path("sweeps/mine.yaml").write_text(
        "# @package _global_\nschedule:\n  cooldown: ${schedule.warmup}\n", encoding="utf-8"
    )
    jobs = [["+sweep=mine", f"schedule.warmup={warmup}"] for warmup in (0.1, 0.2)]
    assert [config.schedule.cooldown for config in compose_study(jobs)] == [0.1, 0.2]


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ("model.width=wide", "model.width='wide' is impossible"),
        ("model.width=-1", "model.width=-1 is impossible"),
        ("model.width=[1,2]", "model.width"),
    ],
)
def test_a_wrong_value_in_a_later_run_is_said_as_for_one_run(bad: str, said: str) -> None:
    with pytest.raises(UserError) as alone:
        compose_config([bad])
    with pytest.raises(UserError, match=r"model\.width") as later:
        list(compose_study([["model.width=8"], ["model.width=16"], [bad]]))
    assert str(later.value) == str(alone.value)
    assert said in str(alone.value)
