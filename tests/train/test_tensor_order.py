"""Tensor parallelism gives each device some of the heads, with their queries, keys and values."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vitladder.compose import compose_config
from vitladder.compute.plan import resolve
from vitladder.compute.shape import Shape, shape_of
from vitladder.config import Config, DataShape
from vitladder.errors import UserError
from vitladder.extend import registry
from vitladder.layout import share
from vitladder.train.serving import check_heads_apart
from vitladder.train.tensor_parallel import by_device

DATA = DataShape(train_images=1000, val_images=100, image_size=16, channels=3, classes=10)
CPU = torch.device("cpu")
Sizes = tuple[int, int, int, int]
"""Devices, heads of keys and values of each, heads of queries to each of these, head_dim."""
SIZES = st.tuples(*[st.integers(1, 4)] * 4)


@cache
def composed() -> Config:
    return compose_config(["model.width=48", "model.heads=4", "model.patch=4", "model.registers=1"])


def shape(sizes: Sizes) -> Shape:
    devices, kv_heads, group, head_dim = sizes
    heads = devices * kv_heads * group
    model = resolve(composed(), DATA).model
    return shape_of(
        replace(model, width=heads * head_dim, heads=heads, kv_heads=devices * kv_heads)
    )


# Rows of the fused qkv


def owners(whole: Shape) -> list[tuple[str, int, int]]:
    """What each row of the fused qkv is: which of the three, of which head, which channel."""
    counts = {"q": whole.heads, "k": whole.kv_heads, "v": whole.kv_heads}
    return [
        (kind, head, channel)
        for kind, heads in counts.items()
        for head in range(heads)
        for channel in range(whole.head_dim)
    ]


@given(SIZES)
def test_no_row_is_lost_and_none_comes_twice(sizes: Sizes) -> None:
    whole = shape(sizes)
    order = by_device(whole, sizes[0])
    assert order.dtype == torch.int64
    assert sorted(order.tolist()) == list(range(whole.qkv_width))


@given(SIZES)
def test_each_device_has_the_rows_of_its_own_heads_as_one_attention_would(sizes: Sizes) -> None:
    whole, devices = shape(sizes), sizes[0]
    rows = owners(whole)
    for device, block in enumerate(by_device(whole, devices).chunk(devices)):
        own = {
            kind: range(*share(heads, device, devices))
            for kind, heads in (("q", whole.heads), ("k", whole.kv_heads), ("v", whole.kv_heads))
        }
        expected = [
            (kind, head, channel)
            for kind in ("q", "k", "v")
            for head in own[kind]
            for channel in range(whole.head_dim)
        ]
        assert [rows[row] for row in block.tolist()] == expected


@given(SIZES)
def test_a_device_has_the_keys_that_its_queries_look_at(sizes: Sizes) -> None:
    whole, devices = shape(sizes), sizes[0]
    rows, group = owners(whole), whole.heads // whole.kv_heads
    for block in by_device(whole, devices).chunk(devices):
        mine = [rows[row] for row in block.tolist()]
        asked = {head // group for kind, head, _ in mine if kind == "q"}
        assert asked == {head for kind, head, _ in mine if kind == "k"}


@given(SIZES)
def test_rows_in_the_order_of_devices_can_be_put_back(sizes: Sizes) -> None:
    whole = shape(sizes)
    order = by_device(whole, sizes[0])
    weight = torch.randn(whole.qkv_width, 3)
    assert torch.equal(torch.empty_like(weight).index_copy(0, order, weight[order]), weight)


# Plugins that see some of the heads

HEADED = """
from dataclasses import dataclass
from typing import ClassVar

import torch

from vitladder.extend.position import PositionEncoding


@dataclass(frozen=True)
class Headed(PositionEncoding):
    '''Scales each head by a number of its own.'''

    {declares}

    def parameters(self, shape):
        return {{"scales": torch.arange(1.0, shape.heads + 1)}}

    def rotate(self, q, k, grid, layer, *, scales):
        {scales}
        return q * scales[:, None, None], k
"""
UNSAID = HEADED.format(declares="", scales="scales = scales[: q.shape[1]]")
NUMBERED = HEADED.format(declares="", scales="scales = torch.arange(1.0, q.shape[1] + 1)")
SAID = HEADED.format(declares="head_axes: ClassVar = {'scales': 0}", scales="")
KERNEL = """
from dataclasses import dataclass

import torch
from torch.nn.functional import scaled_dot_product_attention

from vitladder.extend.attention import AttentionKernel


@dataclass(frozen=True)
class Numbered(AttentionKernel):
    '''Scales what each head returns by its number.'''

    def __call__(self, q, k, v, *, bias=None, causal=False, scale=None, return_lse=False):
        numbers = torch.arange(1.0, q.shape[1] + 1)
        return scaled_dot_product_attention(q, k, v) * numbers[:, None, None]
"""


def with_plugins(attention: str = "naive", position: str = "none") -> Config:
    plugged = replace(composed(), attention={"name": attention}, position={"name": position})
    return resolve(plugged, DATA)


def write_plugin(kind: str, name: str, source: str) -> None:
    """Put a plugin into the working folder, which is the test's own."""
    folder = Path("plugins") / kind
    folder.mkdir(parents=True)
    (folder / f"{name}.py").write_text(source)


@pytest.mark.parametrize("devices", [2, 4])
@pytest.mark.parametrize("position", sorted(registry.discover("position")))
def test_every_encoding_of_the_package_can_be_shared(position: str, devices: int) -> None:
    check_heads_apart(with_plugins(position=position), devices, CPU)


@pytest.mark.parametrize("attention", ["naive", "sdpa", "window", "linear"])
def test_kernels_of_the_package_can_be_shared(attention: str) -> None:
    check_heads_apart(with_plugins(attention=attention), 2, CPU)


@pytest.mark.parametrize("source", [UNSAID, NUMBERED], ids=["a parameter's", "of its own"])
def test_an_encoding_that_numbers_heads_without_saying_so_is_refused(source: str) -> None:
    write_plugin("position", "headed", source)
    with pytest.raises(UserError, match=r"position=headed turns a head otherwise.*head_axes"):
        check_heads_apart(with_plugins(position="headed"), 2, CPU)


def test_an_encoding_that_says_which_parameter_counts_heads_can_be_shared() -> None:
    write_plugin("position", "headed", SAID)
    check_heads_apart(with_plugins(position="headed"), 2, CPU)


def test_a_kernel_that_numbers_heads_is_refused() -> None:
    write_plugin("attention", "numbered", KERNEL)
    with pytest.raises(UserError, match="attention=numbered computes a head otherwise"):
        check_heads_apart(with_plugins(attention="numbered"), 2, CPU)


def test_to_look_at_heads_apart_draws_nothing_from_the_run() -> None:
    torch.manual_seed(5)
    expected = torch.rand(4)
    torch.manual_seed(5)
    check_heads_apart(with_plugins(position="rope_mixed"), 2, CPU)
    assert torch.equal(torch.rand(4), expected)
