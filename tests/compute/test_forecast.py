"""The forecast: memory, time and MFU of a run on a machine, and what would make it fit."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from math import ceil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vitladder.bench.machine import keep
from vitladder.compose import compose_config
from vitladder.compute import machine
from vitladder.compute.duration import ASSUMED, Ideal, StepCosts
from vitladder.compute.forecast import Forecast, forecast, step_parts
from vitladder.compute.formats import FORMATS
from vitladder.compute.machine import Machine, machine_of
from vitladder.compute.plan import plan, resolve
from vitladder.compute.profile import MachineProfile, this_machine
from vitladder.compute.ways_out import WayOut, ways_out
from vitladder.config import Config, DataShape
from vitladder.errors import UserError

DATA = DataShape(train_images=1000, val_images=360, image_size=8, channels=1, classes=10)
COSTS = StepCosts(run=0.5, step=1e-3, operation=1e-5, matmul=2.0, moved=3.0)
LARGE = ("model=b16", "model.image_size=224", "data.batch_size=512", "compute.steps=100")


@cache
def resolved(*overrides: str) -> Config:
    return resolve(compose_config(list(overrides)), DATA)


def foreseen(*overrides: str, on: Machine | None = None) -> Forecast:
    config = resolved(*overrides)
    return forecast(config, DATA, plan(config, DATA), on or machine_of(config))


def found(*overrides: str) -> list[WayOut]:
    config = resolved(*overrides)
    return ways_out(config, DATA, plan(config, DATA), machine_of(config))


def measured_here(threads: int = 1) -> None:
    keep(
        MachineProfile(
            this_machine(),
            peaks={"fp32": {threads: 1e11}, "bf16": {threads: 2e11}},
            bandwidth={threads: 2e10},
            costs={"fp32": {threads: COSTS}},
        )
    )


def test_a_machine_that_was_not_measured_has_a_memory_and_no_time() -> None:
    here = foreseen("threads=1", "compute.steps=10")
    assert (here.seconds, here.step_seconds, here.mfu) == (None, None, None)
    assert here.peak_memory_bytes is not None
    assert here.fits


def test_a_measured_machine_has_a_time_for_what_was_measured() -> None:
    measured_here()
    here = foreseen("threads=1", "compute.steps=10")
    assert here.step_seconds is not None
    assert here.step_seconds > COSTS.step
    assert not here.assumed
    assert foreseen("threads=2", "compute.steps=10").seconds is None
    assert foreseen("threads=1", "compute.steps=10", "precision=bf16").seconds is None


def test_a_run_takes_its_steps_its_held_out_passes_and_what_comes_once() -> None:
    measured_here()
    short, long = (
        foreseen("threads=1", f"compute.steps={steps}", "evaluations=1") for steps in (100, 200)
    )
    assert short.seconds is not None
    assert long.seconds is not None
    assert long.seconds - short.seconds == pytest.approx(100 * (short.step_seconds or 0))
    often = foreseen("threads=1", "compute.steps=100", "evaluations=10")
    assert often.seconds is not None
    held_out = short.seconds - 100 * (short.step_seconds or 0) - COSTS.run
    assert often.seconds - short.seconds == pytest.approx(9 * held_out)


def test_mfu_is_of_the_convention_of_budgets() -> None:
    measured_here()
    config = resolved("threads=1", "compute.steps=10")
    here = forecast(config, DATA, plan(config, DATA), machine_of(config))
    flops = 64 * plan(config, DATA).flops_per_image
    assert here.mfu == pytest.approx(flops / (here.step_seconds or 0) / 1e11)


def test_recomputed_blocks_take_longer_and_less_memory() -> None:
    plain = foreseen(*LARGE, "hardware=h100")
    remat = foreseen(*LARGE, "hardware=h100", "parallel.remat=block")
    assert (remat.seconds or 0) > 1.2 * (plain.seconds or 0)
    assert (remat.peak_memory_bytes or 0) < 0.3 * (plain.peak_memory_bytes or 0)


@settings(max_examples=8)
@given(micro_batch=st.integers(1, 512))
def test_smaller_micro_batches_need_less_and_take_longer(micro_batch: int) -> None:
    whole = foreseen(*LARGE, "hardware=h100")
    pieces = foreseen(*LARGE, "hardware=h100", f"parallel.micro_batch={micro_batch}")
    assert pieces.micro_batch == ceil(512 / ceil(512 / micro_batch))
    assert (pieces.seconds or 0) >= (whole.seconds or 0) * 0.999
    # Gradients of earlier pieces are there during a later forward.
    assert (pieces.peak_memory_bytes or 0) <= (whole.peak_memory_bytes or 0) + 4 * 86e6


def test_a_step_moves_the_weights_with_each_piece_and_the_update_once() -> None:
    def moved(batch: int, pieces: int = 1) -> float:
        sizes = (f"data.batch_size={batch}", f"parallel.micro_batch={batch // pieces}")
        return foreseen(*LARGE, *sizes, "hardware=h100").moved_bytes or 0.0

    with_each_piece = moved(8, 2) - moved(8)
    assert moved(8, 8) - moved(8) == pytest.approx(7 * with_each_piece)
    # What no image and no second piece adds to: weights, gradients and moments, read and written.
    of_no_image = 2 * moved(4) - moved(8)
    config = resolved(*LARGE)
    once = 4 * plan(config, DATA).n_params * 7
    assert of_no_image - with_each_piece == pytest.approx(once)


def test_a_listed_machine_is_planned_for_without_being_here() -> None:
    there = foreseen(*LARGE, "hardware=h100", "precision=bf16")
    assert there.machine == "h100"
    assert there.assumed
    assert there.memory_bytes == 80 * 2**30
    assert there.mfu is not None
    assert 0.2 < there.mfu < 0.7


def test_a_device_without_a_precision_has_no_time_in_it() -> None:
    assert foreseen(*LARGE, "hardware=t4").seconds is not None
    assert foreseen(*LARGE, "hardware=t4", "precision=bf16").seconds is None


def test_each_precision_has_the_peak_of_its_own_products() -> None:
    h100 = machine_of(resolved("hardware=h100"))
    roofs = {
        name: {size: roof.peak / 1e12 for size, roof in h100.roofs(name).items()}
        for name in FORMATS
    }
    assert roofs == {
        "fp32": {4: 67.0},
        "tf32": {4: 494.5},
        "bf16": {4: 67.0, 2: 989.0},
        "bf16_true": {4: 67.0, 2: 989.0},
        "fp16": {4: 67.0, 2: 989.0},
        "fp64": {4: 67.0},
    }
    no_bandwidth = replace(h100, bandwidth=None)
    assert no_bandwidth.roofs("bf16") == {}


def test_wider_formats_take_longer_and_an_unlisted_peak_is_said_by_name() -> None:
    there = {name: foreseen(*LARGE, "hardware=h100", f"precision={name}") for name in FORMATS}
    times = [there[name].seconds or 0 for name in ("bf16_true", "bf16", "tf32", "fp32")]
    assert times == sorted(times)
    assert there["fp16"].seconds == there["bf16"].seconds
    assert (there["fp64"].seconds, there["fp64"].mfu) == (None, None)
    assert there["fp64"].why_no_time == "h100 has no known peak in fp64"
    config = resolved(*LARGE, "hardware=h100", "precision=bf16_true")
    rate = 512 * plan(config, DATA).flops_per_image / (there["bf16_true"].step_seconds or 0)
    assert there["bf16_true"].mfu == pytest.approx(rate / 989e12)


def test_no_weight_is_cast_where_all_is_in_one_format() -> None:
    for name, size in (("fp32", 4), ("bf16", 4), ("bf16_true", 2), ("fp64", 8)):
        config = resolved("compute.steps=1", f"precision={name}")
        parts = {part.name: part for part in step_parts(config, batch=1)}
        assert ("weight casts" in parts) == (name == "bf16")
        numbers = plan(config, DATA).n_params
        assert parts["optimizer update"].backward.bytes_moved == 7 * size * numbers


def test_half_of_the_bytes_are_left_where_everything_is_in_bf16() -> None:
    config = ("model=b16", "model.image_size=224", "data.batch_size=1", "data.val_batch_size=1")
    sizes = [
        foreseen(*config, "compute.steps=1", "hardware=h100", f"precision={name}").peak_memory_bytes
        for name in ("bf16_true", "fp32", "fp64")
    ]
    assert sizes[1] == pytest.approx(2 * (sizes[0] or 0), rel=0.05)
    assert sizes[2] == pytest.approx(2 * (sizes[1] or 0), rel=0.05)


def test_what_is_not_measured_on_a_cpu_has_no_time() -> None:
    measured_here()
    here = foreseen("threads=1", "compute.steps=10", "precision=fp16")
    assert here.seconds is None
    assert "fp32 and bf16, not in fp16" in (here.why_no_time or "")


@pytest.mark.parametrize("name", ["ddp", "fsdp", "tp", "fsdp_tp", "pipeline"])
def test_several_devices_send_and_have_no_time(name: str) -> None:
    given = (*LARGE, "hardware=h100", f"parallel={name}", "parallel.devices=4")
    there = foreseen(*given)
    assert there.why_no_time == "the links between devices are not known"
    assert (there.seconds, there.step_seconds, there.mfu) == (None, None, None)
    assert there.communication_bytes > 10**8
    alone = foreseen(*LARGE, "hardware=h100")
    assert (there.peak_memory_bytes or 0) < 0.6 * (alone.peak_memory_bytes or 0)


def test_a_device_s_micro_batch_is_of_its_share() -> None:
    four = ("hardware=h100", "parallel.devices=4")
    assert foreseen(*LARGE, *four, "parallel=ddp").micro_batch == 128
    assert foreseen(*LARGE, *four, "parallel=ddp", "parallel.micro_batch=50").micro_batch == 43
    assert foreseen(*LARGE, *four, "parallel=tp").micro_batch == 512
    assert foreseen(*LARGE, *four, "parallel=pipeline").micro_batch == 32


def test_recomputing_all_but_products_lies_between_the_others() -> None:
    none, selective, block = (
        foreseen(*LARGE, "hardware=h100", f"parallel.remat={remat}")
        for remat in ("none", "selective", "block")
    )
    assert (none.seconds or 0) < (selective.seconds or 0) < (block.seconds or 0)
    sizes = [each.peak_memory_bytes or 0 for each in (none, selective, block)]
    assert sizes == sorted(sizes, reverse=True)


def test_a_container_s_limit_is_the_memory_that_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = machine_of(resolved("parallel.device=cpu")).memory
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(machine, "_LIMITS", (limit, tmp_path / "absent"))
    limit.write_text("max\n")
    assert machine_of(resolved("parallel.device=cpu")).memory == whole
    limit.write_text("1048576\n")
    small = foreseen("parallel.device=cpu", "compute.steps=1", "model.width=256", "model.depth=4")
    assert small.memory_bytes == 1048576
    assert not small.fits


def test_an_unknown_device_is_told_with_the_nearest() -> None:
    with pytest.raises(UserError, match="no device 'h10'; did you mean 'h100'"):
        machine_of(resolved("hardware=h10"))


def test_what_does_not_fit_is_said_with_changes_that_do() -> None:
    asked = (*LARGE, "hardware=l4", "attention=naive")
    assert not foreseen(*asked).fits
    ways = found(*asked)
    kinds = {override.partition("=")[0] for way in ways for override in way.overrides}
    assert {"parallel.micro_batch", "parallel.remat", "attention"} == kinds
    for way in ways:
        again = foreseen(*(o for o in asked if o != "attention=naive" or not way_changes(way)))
        assert again.memory_bytes == 24 * 2**30
        assert foreseen(*asked[:-1], *with_attention(way)) == way.forecast
        assert way.forecast.fits
    times = [way.forecast.seconds or 0 for way in ways]
    assert times == sorted(times)
    assert any("parallel.remat=selective" in way.overrides for way in ways)


def way_changes(way: WayOut) -> bool:
    return any(override.startswith("attention=") for override in way.overrides)


def with_attention(way: WayOut) -> tuple[str, ...]:
    return way.overrides if way_changes(way) else ("attention=naive", *way.overrides)


def test_each_way_has_the_largest_micro_batch_that_fits() -> None:
    asked = (*LARGE, "hardware=l4")
    for way in found(*asked):
        sizes = [o for o in way.overrides if o.startswith("parallel.micro_batch=")]
        for size in sizes:
            others = tuple(o for o in way.overrides if o != size)
            twice = 2 * int(size.partition("=")[2])
            assert not foreseen(*asked, *others, f"parallel.micro_batch={twice}").fits


def test_a_model_too_large_for_any_change_has_no_way_out() -> None:
    assert found(*LARGE, "hardware=t4", "model=g14", "model.width=8192", "model.heads=64") == []


def test_ways_out_of_several_devices_are_runs_that_may_be() -> None:
    given = (*LARGE, "hardware=l4", "parallel=pipeline", "parallel.devices=2")
    asked = (*given, "data.batch_size=4098", "parallel.micro_batch=683")
    assert not foreseen(*asked).fits
    ways = found(*asked)
    assert ways
    for way in ways:
        assert foreseen(*asked, *way.overrides) == way.forecast


def test_a_window_is_another_model_and_no_way_out() -> None:
    ways = found(*LARGE, "hardware=l4", "attention=naive")
    named = {o for way in ways for o in way.overrides if o.startswith("attention=")}
    assert "attention=sdpa" in named
    assert not named & {"attention=window", "attention=linear"}


def test_a_run_with_a_window_keeps_it() -> None:
    ways = found(*LARGE, "hardware=l4", "attention=window", "data.batch_size=4096")
    assert ways
    assert not any(o.startswith("attention=") for way in ways for o in way.overrides)


def test_work_is_its_parts_times_their_costs() -> None:
    work = Ideal(operations=10, matmul=0.5, moved=0.25)
    assert work.seconds(COSTS) == pytest.approx(10 * 1e-5 + 1.0 + 0.75)
    assert (work + work).seconds(COSTS) == pytest.approx((work * 2).seconds(COSTS))
    dearer = replace(ASSUMED, matmul=2 * ASSUMED.matmul)
    assert work.seconds(dearer) > work.seconds(ASSUMED)


@pytest.mark.parametrize("micro", [1, 8, 32])
def test_a_step_moves_its_pieces_and_one_update(micro: int) -> None:
    asked = ("model=micro", "data.batch_size=32", f"parallel.micro_batch={micro}")
    parts = {part.name: part for part in step_parts(resolved(*asked), micro)}
    update = parts.pop("optimizer update").backward.bytes_moved
    piece = sum(part.forward.bytes_moved + part.backward.bytes_moved for part in parts.values())
    assert foreseen(*asked).moved_bytes == update + 32 // micro * piece


def test_what_several_devices_move_is_not_said() -> None:
    assert foreseen("parallel=ddp", "parallel.devices=2").moved_bytes is None
