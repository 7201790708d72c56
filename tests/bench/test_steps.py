"""The costs of steps: those planted in exact steps are found, and real short runs give some."""

from __future__ import annotations

import pytest

from vitladder.bench.machine import keep, with_costs
from vitladder.bench.steps import SHAPES, Measured, fit_costs
from vitladder.compose import compose_config
from vitladder.compute.duration import StepCosts, training_ideal, update_ideal
from vitladder.compute.forecast import step_parts
from vitladder.compute.plan import resolve
from vitladder.compute.profile import MachineProfile, measured_costs, read_profile, this_machine
from vitladder.compute.roofline import Roofline
from vitladder.config import DataShape

ROOFS = {4: Roofline(1e11, 2e10), 2: Roofline(2e11, 2e10)}
DIGITS = DataShape(train_images=1438, val_images=359, image_size=8, channels=1, classes=10)


def exact(shape: str, costs: StepCosts) -> Measured:
    config = resolve(compose_config(shape.split()), DIGITS)
    parts = step_parts(config, config.data.batch_size)
    work = training_ideal(parts, config.model.depth, ROOFS) + update_ideal(parts, ROOFS)
    return Measured(config, costs.step + work.seconds(costs), costs.run)


def test_planted_costs_are_found() -> None:
    costs = StepCosts(run=0.2, step=2e-3, operation=5e-5, matmul=1.5, moved=4.0)
    found = fit_costs([exact(shape, costs) for shape in SHAPES], ROOFS)
    for name in ("run", "step", "operation", "matmul", "moved"):
        assert getattr(found, name) == pytest.approx(getattr(costs, name), rel=1e-6)


def test_no_cost_is_negative() -> None:
    costs = StepCosts(run=0.2, step=0.0, operation=0.0, matmul=1.0, moved=0.0)
    uneven = [exact(shape, costs) for shape in SHAPES]
    found = fit_costs(
        [Measured(m.config, m.step * (0.9, 1.1)[i % 2], m.rest) for i, m in enumerate(uneven)],
        ROOFS,
    )
    assert min(found.step, found.operation, found.matmul, found.moved) >= 0


@pytest.mark.slow
def test_short_runs_give_costs_that_are_kept() -> None:
    bare = MachineProfile(this_machine(), {"fp32": {1: 1e11}}, {1: 2e10})
    profile = with_costs(bare, shapes=SHAPES[:2])
    keep(profile)
    assert read_profile() == profile
    costs = measured_costs(this_machine(), "fp32", 1)
    assert costs is not None
    assert costs.run > 0
    assert costs.step + costs.operation + costs.matmul + costs.moved > 0
    assert measured_costs(this_machine(), "bf16", 1) is None
