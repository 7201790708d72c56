"""Collectives, and what one training step sends under each parallelism."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vitladder.compose import compose_config
from vitladder.compute.communication import (
    Link,
    all_gather_bytes,
    all_reduce_bytes,
    data_parallel_bytes,
    fully_sharded_bytes,
    pipeline_bytes,
    reduce_scatter_bytes,
    reduce_scatter_seconds,
    ring_all_reduce_seconds,
    tensor_parallel_bytes,
    tree_all_reduce_seconds,
    tree_rounds,
)
from vitladder.compute.plan import resolve
from vitladder.compute.shape import Shape, shape_of
from vitladder.config import DataShape
from vitladder.errors import UserError

WORLD = st.integers(1, 4096)


def vit_tiny() -> Shape:
    data = DataShape(train_images=1, val_images=1, image_size=224, channels=3, classes=1000)
    return shape_of(resolve(compose_config(["model=ti16"]), data).model)


@settings(deadline=None)
@given(st.integers(1, 9))
def test_a_ring_sums_with_the_bytes_and_rounds_that_are_counted(world: int) -> None:
    held = [[10.0**device] * world for device in range(world)]
    sent = rounds = 0
    for gathers in (False, True):
        for step in range(world - 1):
            parts = [(device + gathers - step) % world for device in range(world)]
            moving = [held[device][part] for device, part in enumerate(parts)]
            for device, part in enumerate(parts):
                after = (device + 1) % world
                held[after][part] = moving[device] + (0 if gathers else held[after][part])
            sent, rounds = sent + 1, rounds + 1
    assert all(part == sum(10.0**d for d in range(world)) for parts in held for part in parts)
    assert all_reduce_bytes(world, world) == sent
    assert ring_all_reduce_seconds(world, world, Link(math.inf, latency=1.0)) == rounds


@settings(deadline=None)
@given(size=st.integers(1, 10**12), world=WORLD)
def test_an_all_reduce_is_a_reduce_scatter_and_an_all_gather(size: int, world: int) -> None:
    halves = reduce_scatter_bytes(size, world) + all_gather_bytes(size, world)
    assert all_reduce_bytes(size, world) == halves
    assert halves == pytest.approx(2 * size * (world - 1) / world)
    link = Link(1e9, 1e-6)
    half = reduce_scatter_seconds(size, world, link)
    assert ring_all_reduce_seconds(size, world, link) == pytest.approx(2 * half)


@settings(deadline=None)
@given(WORLD)
def test_a_tree_doubles_who_is_heard_in_every_round(world: int) -> None:
    assert tree_rounds(world) == math.ceil(math.log2(world))
    assert 2 ** tree_rounds(world) >= world


def test_a_tree_wins_where_latency_rules_and_a_ring_where_bandwidth_does() -> None:
    link = Link(bandwidth=25e9, latency=5e-6)
    assert tree_all_reduce_seconds(1e3, 64, link) < ring_all_reduce_seconds(1e3, 64, link)
    assert tree_all_reduce_seconds(1e9, 64, link) > ring_all_reduce_seconds(1e9, 64, link)
    assert tree_all_reduce_seconds(1e3, 64, link) == pytest.approx(6 * (1e3 / 25e9 + 5e-6))


def test_one_device_sends_nothing() -> None:
    shape = vit_tiny()
    assert data_parallel_bytes(10**6, 1) == 0
    assert fully_sharded_bytes(10**6, 1) == 0
    assert tensor_parallel_bytes(shape, 32, 1, 4) == 0
    assert pipeline_bytes(shape, 32, 1, 4) == 0
    assert ring_all_reduce_seconds(1e9, 1, Link(1e9, 1e-6)) == 0
    assert tree_all_reduce_seconds(1e9, 1, Link(1e9, 1e-6)) == 0


@settings(deadline=None)
@given(n_params=st.integers(1, 10**10), world=st.integers(2, 1024))
def test_sharding_fully_sends_half_as_much_again_as_data_parallelism(
    n_params: int, world: int
) -> None:
    """The known ratio of ZeRO's third stage, where everything is kept in one format."""
    ratio = fully_sharded_bytes(n_params, world) / data_parallel_bytes(n_params, world)
    assert ratio == pytest.approx(1.5)
    narrow = fully_sharded_bytes(n_params, world, element_size=2)
    assert narrow == pytest.approx(data_parallel_bytes(n_params, world))


def test_tensor_parallelism_reduces_the_tokens_four_times_a_block() -> None:
    tokens = 32 * 197 * 192 * 2
    assert tensor_parallel_bytes(vit_tiny(), 32, 4, 2) == 12 * 4 * 2 * tokens * 3 / 4
    wide_gradients = tensor_parallel_bytes(vit_tiny(), 32, 4, 2, gradient_size=4)
    assert wide_gradients == 12 * (2 + 2 * 2) * 2 * tokens * 3 / 4


def test_a_pipeline_sends_the_tokens_over_every_boundary_and_their_gradients_back() -> None:
    tokens = 32 * 197 * 192 * 4
    assert pipeline_bytes(vit_tiny(), 32, 2, 4) == tokens
    assert pipeline_bytes(vit_tiny(), 32, 4, 4) == 2 * tokens


def test_no_devices_are_refused() -> None:
    with pytest.raises(UserError, match="at least 1 device, not 0"):
        data_parallel_bytes(1, 0)
