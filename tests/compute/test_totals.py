"""The totals of a plan count every device of its runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from vitladder.compose import compose_config
from vitladder.compute.forecast import forecast
from vitladder.compute.machine import machine_of
from vitladder.compute.plan import plan, resolve
from vitladder.config import DataShape
from vitladder.hand_over import Planned
from vitladder.plan_table import PlannedCost, plan_table, totals
from vitladder.runs.sweep import Place

DATA = DataShape(train_images=1000, val_images=100, image_size=8, channels=1, classes=10)


def cost(*overrides: str) -> PlannedCost:
    given = ["hardware=h100", "price=2", "compute.steps=10", *overrides]
    config = resolve(compose_config(given), DATA)
    place = Place(Path("outputs"), "study", "key")
    planned, machine = plan(config, DATA), machine_of(config)
    needed = forecast(config, DATA, planned, machine)
    return PlannedCost(Planned(given, config, DATA, place), machine, planned, needed, [])


def test_energy_and_money_are_of_all_devices() -> None:
    alone = cost()
    eight = cost("parallel=ddp", "parallel.devices=4", "parallel.nodes=2")
    # As if the links were known, and the run took an hour.
    alone, eight = (
        replace(one, forecast=replace(one.forecast, seconds=3600.0)) for one in (alone, eight)
    )
    assert totals([alone]).energy_kwh == pytest.approx(0.7)
    assert totals([eight]).energy_kwh == pytest.approx(8 * 0.7)
    assert totals([eight]).money == pytest.approx(16)
    assert totals([alone, eight]).money == pytest.approx(18)


def test_a_run_on_several_devices_has_no_totals_of_time() -> None:
    total = totals([cost("parallel=fsdp", "parallel.devices=8")])
    assert (total.seconds, total.energy_kwh, total.money) == (None, None, None)
    assert total.flops > 0


def test_the_table_says_of_which_device_its_figures_are() -> None:
    one, several = cost(), cost("parallel=fsdp", "parallel.devices=8")
    assert "memory is of tensors on the device" in str(plan_table([one], totals([one])).caption)
    caption = str(plan_table([several], totals([several])).caption)
    assert "on the fullest device" in caption
    assert "no time: the links between devices are not known" in caption
