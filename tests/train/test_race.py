"""Ways of training are measured in processes of their own; one that fails says why."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from vitladder.compose import compose_config
from vitladder.compute.plan import resolve
from vitladder.config import Config, DataShape
from vitladder.train.candidates import Choice, Here, Step, attention_steps
from vitladder.train.race import Race
from vitladder.train.search import ROUNDS, climb

NAIVE = Choice("naive", "fp32", False, None, 1)
SDPA = replace(NAIVE, attention="sdpa")
BROKEN = replace(NAIVE, attention="broken")
DATA = DataShape(train_images=100, val_images=10, image_size=8, channels=1, classes=10)


@pytest.fixture
def config() -> Config:
    """A small model, and in the working folder a kernel that fails."""
    folder = Path("plugins/attention")
    folder.mkdir(parents=True)
    (folder / "broken.py").write_text(
        "from dataclasses import dataclass\n"
        "from vitladder.extend.attention import AttentionKernel\n"
        "@dataclass(frozen=True)\n"
        "class Broken(AttentionKernel):\n"
        "    def __call__(self, q, k, v, **rest):\n"
        "        print('on stdout, where answers are')\n"
        "        raise RuntimeError('it broke')\n"
    )
    return resolve(compose_config(["model=micro-8"]), DATA)


@pytest.mark.slow
def test_each_choice_is_measured_in_every_round_and_a_failure_is_told(config: Config) -> None:
    with Race(config) as race:
        race.enter([NAIVE, SDPA, BROKEN])
        race.run([NAIVE, SDPA, BROKEN], rounds=2, seconds=0.01)
    assert race.failed == {BROKEN: "RuntimeError: it broke"}
    assert set(race.measured) == {NAIVE, SDPA}
    for measured in race.measured.values():
        assert len(measured.images_per_s) == 2
        assert min(measured.images_per_s) > 0
        assert measured.startup_seconds >= 0
    # naive keeps every weight of attention, sdpa none.
    assert race.measured[NAIVE].memory_bytes > race.measured[SDPA].memory_bytes > 0


@pytest.mark.slow
def test_a_climb_tries_each_step_once_and_never_carries_on_what_failed(config: Config) -> None:
    here = Here("cpu", [1], 64, lambda precision: {"broken": None, "sdpa": "not today"})
    stages = (attention_steps, attention_steps)
    with Race(config) as race:
        climbed = climb(race, Step("naive", NAIVE), here, stages, seconds=0.01)
    assert climbed.best == NAIVE
    tried = [(rung.step.name, rung.step.reason) for rung in climbed.rungs]
    assert tried[:3] == [("naive", None), ("broken", None), ("sdpa", "not today")]
    assert race.failed.keys() == {BROKEN}
    assert len(race.measured[NAIVE].images_per_s) == 1 + ROUNDS
