"""The plan: compute is the dial, and the ladder chooses the size."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vitladder.compose import compose_config
from vitladder.compute.plan import Plan, plan, resolve
from vitladder.config import Config, DataShape
from vitladder.errors import UserError

DATA = DataShape(train_images=1000, val_images=100, image_size=8, channels=1, classes=10)


def planned(*overrides: str) -> Plan:
    return plan(resolved(*overrides), DATA)


def resolved(*overrides: str) -> Config:
    return resolve(compose_config(list(overrides)), DATA)


@settings(max_examples=25)
@given(flops=st.floats(1e9, 1e15), batch=st.integers(1, 256))
def test_flops_fix_the_steps_to_within_half_a_step(flops: float, batch: int) -> None:
    cost = planned(f"compute.flops={flops}", f"data.batch_size={batch}")
    assert abs(cost.flops - flops) <= 0.5 * batch * cost.flops_per_image
    assert cost.flops == cost.images * cost.flops_per_image
    assert cost.images == cost.steps * batch
    assert cost.flops_per_image == 3 * cost.forward_flops_per_image
    assert cost.epochs == cost.images / DATA.train_images
    assert cost.tokens == 16 * cost.images


def test_images_and_steps_are_taken_as_they_are() -> None:
    assert planned("compute.steps=7").images == 7 * 64
    assert planned("compute.images=640").steps == 10
    assert planned("compute.images=640").flops_target is None


@pytest.mark.parametrize("budget", ["compute.flops=1e6", "compute.images=20"])
def test_a_budget_below_one_step_is_refused(budget: str) -> None:
    with pytest.raises(UserError, match=r"is less than one step of .*batch size 64"):
        planned(budget)


def test_the_model_follows_the_data() -> None:
    model = resolved().model
    assert (model.image_size, model.channels, model.classes) == (8, 1, 10)
    assert resolved("model.classes=20").model.classes == 20
    with pytest.raises(UserError, match=r"model\.classes=3 is fewer than the 10 classes"):
        resolved("model.classes=3")


@pytest.mark.parametrize("relative", [0.5, 1, 4])
@pytest.mark.parametrize("flops", [1e10, 1e12, 1e14])
def test_the_ladder_chooses_a_size_near_the_one_aimed_at(relative: float, flops: float) -> None:
    settings = ["ladder.n_params=2e4", "ladder.flops=1e10", "ladder.exponent=0.5"]
    config = resolved(
        f"ladder.relative={relative}", f"compute.flops={flops}", "model.heads=null", *settings
    )
    aim = relative * 2e4 * (flops / 1e10) ** 0.5
    assert plan(config, DATA).n_params == pytest.approx(aim, rel=0.25)
    assert config.model.depth == max(2, round(config.model.width / 16))
    assert config.model.width % 4 == 0


@pytest.mark.parametrize(
    "length", ["compute.steps=1e30", "compute.images=1e30", "compute.flops=1e99"]
)
def test_more_steps_than_seeds_is_refused(length: str) -> None:
    with pytest.raises(UserError, match=r"compute\.\w+=1e\+\d+ makes .* steps; a run has at most"):
        planned(length)
    assert planned("compute.steps=4294967295").steps == 2**32 - 1


@pytest.mark.parametrize(
    "setting", ["exponent=1000", "exponent=-1000", "n_params=1e30", "flops=1e300"]
)
def test_a_ladder_that_aims_at_no_model_is_refused(setting: str) -> None:
    with pytest.raises(UserError, match=r"aims at \S+ parameters"):
        resolved("ladder.relative=1", f"ladder.{setting}")


def test_the_ladder_needs_a_budget_in_flops() -> None:
    with pytest.raises(UserError, match=r"ladder\.relative sizes the model to a budget"):
        resolved("ladder.relative=1", "compute.steps=5")
