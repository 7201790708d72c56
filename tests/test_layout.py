"""How devices share a run: their layout, the shares of what is divided, and the micro-batches."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitladder.compose import compose_config
from vitladder.config import Config, ParallelConfig
from vitladder.layout import KINDS, Layout, layout_of, pieces, share

CONF = Path(__file__).parents[1] / "conf" / "parallel"
SHARED = sorted({*KINDS} - {"single", "fsdp_tp"})


@cache
def composed() -> Config:
    return compose_config([])


def parallel(name: str, **changes: Any) -> ParallelConfig:
    return replace(composed().parallel, name=name, **changes)


def config(name: str, devices: int, batch: int, micro_batch: int | None = None) -> Config:
    """A run of so many images in a batch, on so many devices of one machine."""
    return replace(
        composed(),
        data=replace(composed().data, batch_size=batch),
        parallel=replace(composed().parallel, name=name, devices=devices, micro_batch=micro_batch),
    )


# Layouts


def test_every_kind_can_be_chosen_and_no_other() -> None:
    assert {file.stem for file in CONF.glob("*.yaml")} == set(KINDS)


@pytest.mark.parametrize("name", KINDS)
def test_a_kind_chosen_by_its_name_alone_is_a_run_that_can_be(name: str) -> None:
    chosen = compose_config([f"parallel={name}"]).parallel
    assert chosen.name == name
    assert layout_of(chosen).devices == chosen.devices * chosen.nodes
    assert (layout_of(chosen).devices == 1) == (name == "single")


@pytest.mark.parametrize(
    ("given", "layout", "splits_model"),
    [
        (parallel("single", devices=1, nodes=1), Layout(), False),
        (parallel("ddp", devices=4, nodes=1), Layout(data=4), False),
        (parallel("ddp", devices=4, nodes=3), Layout(data=12), False),
        (parallel("fsdp", devices=4, nodes=2), Layout(data=8, sharded=True), True),
        (parallel("tp", devices=2, nodes=2), Layout(tensor=4), True),
        (parallel("pipeline", devices=3, nodes=2), Layout(stages=6), True),
        (
            parallel("fsdp_tp", devices=4, nodes=3, tensor=4),
            Layout(data=3, tensor=4, sharded=True),
            True,
        ),
        (
            parallel("fsdp_tp", devices=8, nodes=1, tensor=2),
            Layout(data=4, tensor=2, sharded=True),
            True,
        ),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_a_kind_says_what_its_devices_share(
    given: ParallelConfig, layout: Layout, splits_model: bool
) -> None:
    assert layout_of(given) == layout
    assert layout.splits_model == splits_model


@given(st.sampled_from(SHARED), st.integers(1, 16), st.integers(1, 8))
def test_no_device_of_any_node_is_left_out(name: str, devices: int, nodes: int) -> None:
    assert layout_of(parallel(name, devices=devices, nodes=nodes)).devices == devices * nodes


@given(st.integers(1, 8), st.integers(1, 8), st.integers(1, 4))
def test_groups_of_devices_that_share_layers_use_up_all_devices(
    data: int, tensor: int, nodes: int
) -> None:
    layout = layout_of(parallel("fsdp_tp", devices=data * tensor, nodes=nodes, tensor=tensor))
    assert (layout.data, layout.tensor) == (data * nodes, tensor)


@given(st.integers(1, 6), st.integers(1, 6), st.integers(1, 3))
def test_ranks_lie_as_in_a_mesh_each_pair_of_data_and_tensor_once_a_stage(
    data: int, tensor: int, stages: int
) -> None:
    layout = Layout(data=data, tensor=tensor, stages=stages)
    mesh = np.arange(layout.devices).reshape(stages, data, tensor)
    for (_, group, part), rank in np.ndenumerate(mesh):
        assert layout.data_rank(int(rank)) == group
        assert layout.tensor_rank(int(rank)) == part


# Shares


@given(st.integers(0, 500), st.integers(1, 40))
def test_shares_lie_one_after_the_other_over_all_there_is(count: int, of: int) -> None:
    shares = [share(count, rank, of) for rank in range(of)]
    assert shares[0][0] == 0
    assert shares[-1][1] == count
    assert all(one[1] == other[0] for one, other in pairwise(shares))


@given(st.integers(0, 500), st.integers(1, 40))
def test_shares_are_as_equal_as_can_be_the_larger_ones_first(count: int, of: int) -> None:
    sizes = [end - first for first, end in (share(count, rank, of) for rank in range(of))]
    assert max(sizes) - min(sizes) <= 1
    assert sizes == sorted(sizes, reverse=True)


# Micro-batches


@pytest.mark.parametrize("name", ["single", "ddp", "fsdp", "tp"])
def test_without_a_micro_batch_a_share_is_one_piece(name: str) -> None:
    assert pieces(config(name, 1 if name == "single" else 3, batch=64)) == 1


@given(st.data(), st.sampled_from(["ddp", "fsdp"]), st.integers(1, 8), st.integers(8, 300))
def test_pieces_of_a_share_are_as_few_as_keep_within_the_micro_batch(
    data: st.DataObject, name: str, devices: int, batch: int
) -> None:
    largest = share(batch, 0, devices)[1]
    micro_batch = data.draw(st.integers(1, largest))
    count = pieces(config(name, devices, batch, micro_batch))
    for rank in range(devices):
        first, end = share(batch, rank, devices)
        for number in range(count):
            start, stop = share(end - first, number, count)
            assert stop - start <= micro_batch
    assert (count - 1) * micro_batch < largest


@given(st.integers(2, 8), st.integers(1, 200))
def test_devices_that_share_layers_compute_the_whole_batch(devices: int, micro_batch: int) -> None:
    found = pieces(config("tp", devices, batch=200, micro_batch=micro_batch))
    assert found == pieces(config("single", 1, batch=200, micro_batch=micro_batch))


@given(st.integers(2, 8), st.integers(1, 300))
def test_a_pipeline_has_the_most_equal_pieces_up_to_four_a_stage(stages: int, batch: int) -> None:
    count = pieces(config("pipeline", stages, batch))
    assert batch % count == 0
    assert 1 <= count <= 4 * stages
    assert not any(batch % more == 0 for more in range(count + 1, 4 * stages + 1))


@given(st.integers(2, 8), st.integers(1, 30), st.integers(1, 30))
def test_the_pieces_of_a_pipeline_may_be_chosen(stages: int, count: int, micro_batch: int) -> None:
    assert pieces(config("pipeline", stages, count * micro_batch, micro_batch)) == count
