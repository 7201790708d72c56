"""A matrix product: its gradients do the same work, and a convolution is one."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import conv2d
from torch.utils.flop_counter import FlopCounterMode

from vitladder.compute.gemm import Gemm, convolution, low_rank_parameters
from vitladder.errors import UserError

SIZE = st.integers(1, 64)


@settings(deadline=None)
@given(m=SIZE, k=SIZE, n=SIZE, batch=st.integers(1, 4))
def test_a_product_and_its_gradients_cost_what_torch_counts(
    m: int, k: int, n: int, batch: int
) -> None:
    gemm = Gemm(m, k, n, batch)
    left = torch.empty(batch, m, k, device="meta", requires_grad=True)
    right = torch.empty(batch, k, n, device="meta", requires_grad=True)
    with FlopCounterMode(display=False) as forward:
        product = left @ right
    assert forward.get_total_flops() == gemm.flops
    with FlopCounterMode(display=False) as backward:
        product.sum().backward()
    assert backward.get_total_flops() == gemm.left_gradient.flops + gemm.right_gradient.flops
    moved = sum(tensor.numel() for tensor in (left, right, product))
    assert gemm.bytes_moved(2) == 2 * moved
    assert gemm.left_gradient.elements == gemm.right_gradient.elements == moved


@settings(deadline=None)
@given(m=SIZE, k=SIZE, n=SIZE, batch=st.integers(1, 4), size=st.sampled_from([1, 2, 4, 8]))
def test_intensity_is_below_every_side_and_does_not_depend_on_the_batch(
    m: int, k: int, n: int, batch: int, size: int
) -> None:
    intensity = Gemm(m, k, n, batch).intensity(size)
    assert intensity == pytest.approx(2 * m * k * n / (size * (m * k + k * n + m * n)))
    assert intensity == pytest.approx(Gemm(m, k, n).intensity(size))
    assert intensity < 2 / size * min(m, k, n)


@settings(deadline=None)
@given(
    images=st.integers(1, 3),
    rows=st.integers(4, 12),
    columns=st.integers(4, 12),
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    stride=st.integers(1, 3),
    padding=st.integers(0, 2),
)
def test_a_convolution_costs_what_torch_counts(
    images: int,
    rows: int,
    columns: int,
    kernel: tuple[int, int],
    stride: int,
    padding: int,
) -> None:
    pixels = torch.empty(images, 3, rows, columns, device="meta")
    filters = torch.empty(5, 3, *kernel, device="meta")
    with FlopCounterMode(display=False) as counted:
        out = conv2d(pixels, filters, stride=stride, padding=padding)
    gemm = convolution(images, (rows, columns), 3, 5, kernel, stride=stride, padding=padding)
    assert counted.get_total_flops() == gemm.flops
    assert gemm.m * gemm.n == out.numel()


def test_a_kernel_that_does_not_fit_the_image_is_refused() -> None:
    with pytest.raises(UserError, match="a kernel of 5 does not fit an image of 4"):
        convolution(1, (8, 4), 3, 8, (5, 5))


@settings(deadline=None)
@given(rows=SIZE, columns=SIZE, rank=SIZE)
def test_a_low_rank_product_has_both_factors(rows: int, columns: int, rank: int) -> None:
    left, right = torch.empty(rows, rank), torch.empty(rank, columns)
    assert low_rank_parameters(rows, columns, rank) == left.numel() + right.numel()
