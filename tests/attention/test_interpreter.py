"""The interpreter, repaired, computes what a GPU would; probed, it shows what it would hide."""

from __future__ import annotations

import pytest
import torch
import triton
import triton.language as tl

from vitladder.extend import interpreter

interpreter.repair()


@triton.jit
def multiply(a, b, out, PRECISION: tl.constexpr):
    at = tl.arange(0, 16)[:, None] * 16 + tl.arange(0, 16)[None, :]
    product = tl.dot(tl.load(a + at), tl.load(b + at), input_precision=PRECISION)
    tl.store(out + at, product)


@triton.jit
def cast(source, out):
    at = tl.arange(0, 16)
    tl.store(out + at, tl.load(source + at).to(out.dtype.element_ty))


@triton.jit
def load_half(source, out):
    at = tl.arange(0, 16)
    tl.store(out + at, tl.load(source + at, mask=at < 8))


@triton.jit
def load_half_or_one(source, out):
    at = tl.arange(0, 16)
    tl.store(out + at, tl.load(source + at, mask=at < 8, other=1.0))


def product(dtype: torch.dtype, precision: str = "ieee") -> tuple[torch.Tensor, torch.Tensor]:
    """Return a product of the interpreter and its exact value."""
    torch.manual_seed(0)
    a, b = torch.randn(16, 16).to(dtype), torch.randn(16, 16).to(dtype)
    out = torch.empty(16, 16)
    multiply[(1,)](a, b, out, precision)
    return out, a.double() @ b.double()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_dot_multiplies_values_and_accumulates_in_float32(dtype: torch.dtype) -> None:
    ours, exact = product(dtype)
    torch.testing.assert_close(ours.double(), exact, rtol=1e-5, atol=1e-5)


def test_a_cast_to_bfloat16_rounds_to_nearest_even() -> None:
    nearest = torch.tensor([1.0, 1 + 2**-8, 1 + 3 * 2**-8, -1 - 2**-7.5, 1e-40, 3.4e38, 0.1, 1 / 3])
    source = torch.cat(
        [nearest, torch.tensor([torch.inf, -torch.inf, torch.nan, 0, -0.0, 5, 6, 7])]
    )
    out = torch.empty(16, dtype=torch.bfloat16)
    cast[(1,)](source, out)
    torch.testing.assert_close(out, source.bfloat16(), rtol=0, atol=0, equal_nan=True)
    back = torch.empty(16)
    cast[(1,)](out, back)
    torch.testing.assert_close(back, out.float(), rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_a_probe_fills_masked_loads_that_name_no_other_value(dtype: torch.dtype) -> None:
    source = torch.ones(16, dtype=dtype)
    hidden, shown, named = (torch.empty(16, dtype=dtype) for _ in range(3))
    load_half[(1,)](source, hidden)
    with interpreter.probe():
        load_half[(1,)](source, shown)
        load_half_or_one[(1,)](source, named)
    assert (hidden[8:] == 0).all()
    assert shown[8:].isnan().all()
    assert (shown[:8] == 1).all()
    assert (named == 1).all()


def test_a_probe_gives_tf32_dots_the_error_of_tf32_and_leaves_ieee_alone() -> None:
    def error(precision: str) -> float:
        ours, exact = product(torch.float32, precision)
        return float((ours.double() - exact).abs().max())

    assert error("tf32") < 1e-5
    with interpreter.probe(tf32=True):
        assert error("tf32") > 1e-4
        assert error("ieee") < 1e-5
        assert error("tf32x3") < 1e-5
    assert error("tf32") < 1e-5
