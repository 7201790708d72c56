"""flash computes attention and every gradient of it, in linear memory, from tensors as they lie."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from closed_form import Call, Result, random_call
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from vitladder.plugins.attention import _flash_launch as launch
from vitladder.plugins.attention.flash import Flash

from vitladder.extend.attention import AttentionShape
from vitladder.extend.interpreter import probe

TOLERANCE = {torch.float32: 2e-6, torch.float16: 2e-3, torch.bfloat16: 1.2e-2}


def run(call: Call) -> Result:
    """Run flash forward and backward; without a bias there is no dbias to compare."""
    out, lse = Flash()(
        call.q, call.k, call.v,
        bias=call.bias, causal=call.causal, scale=call.scale, return_lse=True,
    )  # fmt: skip
    leaves = [x for x in call[:4] if isinstance(x, Tensor)]
    gradients = torch.autograd.grad([out, lse], leaves, [call.dout, call.dlse])
    return Result(
        out.detach(), lse.detach(), *gradients[:3], gradients[3] if call.bias is not None else None
    )


def error(result: Tensor, exact: Tensor) -> float:
    """Return the largest error relative to the largest value; -inf must be where it belongs."""
    finite = exact.isfinite()
    assert result.shape == exact.shape
    assert torch.equal(result.isfinite(), finite)
    if not finite.any():
        return 0.0
    difference = (result.double() - exact)[finite].abs().max()
    return float(difference / exact[finite].abs().max().clamp(min=1e-3))


def assert_solves(call: Call) -> None:
    with probe(poison=True, tf32=True):
        result = run(call)
    for name, ours, exact in zip(Result._fields, result, call.solve(), strict=True):
        if ours is not None:
            tolerance = TOLERANCE[torch.float32 if name == "lse" else call.q.dtype]
            assert error(ours, exact) < tolerance, name


@pytest.mark.parametrize("dtype", list(TOLERANCE))
@pytest.mark.parametrize(
    ("queries", "keys", "head_dim"), [(1, 15, 64), (65, 197, 80), (130, 65, 24)]
)
def test_output_log_sum_exp_and_gradients_are_those_of_the_formula(
    queries: int, keys: int, head_dim: int, dtype: torch.dtype
) -> None:
    assert_solves(random_call((1, 2, queries, keys, head_dim), dtype=dtype))


@pytest.mark.parametrize("head_dim", [16, 72, 88, 96, 104, 128])
def test_any_head_dim_is_padded_inside_the_tile(head_dim: int) -> None:
    assert_solves(random_call((1, 1, 17, 30, head_dim), bias=(17, 30)))


@pytest.mark.parametrize(("queries", "keys"), [(70, 70), (33, 130), (130, 33)])
def test_causal_is_aligned_bottom_right_and_rows_without_keys_give_zero(
    queries: int, keys: int
) -> None:
    call = random_call((1, 1, queries, keys, 32), causal=True)
    assert_solves(call)
    blind = max(0, queries - keys)
    out, lse = run(call)[:2]
    assert (out[..., :blind, :] == 0).all()
    assert (lse[..., :blind] == float("-inf")).all()


@pytest.mark.parametrize(
    "shape",
    [(2, 2, 140, 70), (1, 2, 140, 70), (2, 1, 140, 70), (140, 70), (70,), (140, 1), (2, 1, 1), ()],
    ids=str,
)
def test_a_bias_of_any_shape_gets_a_gradient_of_its_shape(shape: tuple[int, ...]) -> None:
    assert_solves(random_call((2, 2, 140, 70, 16), bias=shape, scale=0.5))


def test_a_long_bias_row_is_summed_over_chunks_of_blocks() -> None:
    # 16 chunks of 128 queries end at 2048: this needs chunks of two blocks, the last one short.
    assert_solves(random_call((1, 1, 2200, 3, 16), bias=(1, 3)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_keys_and_rows_masked_by_the_bias_have_no_gradient(dtype: torch.dtype) -> None:
    call = random_call((1, 2, 40, 70, 16), bias=(2, 40, 70), dtype=dtype)
    with torch.no_grad():
        call.bias[:, :, 50:] = float("-inf")
        call.bias[0, 7] = float("-inf")
    assert_solves(call)
    result = run(call)
    assert (result.dk[..., 50:, :] == 0).all()
    assert (result.dq[:, 0, 7] == 0).all()
    assert (result.dbias[0, 7] == 0).all()


def test_a_nan_that_flows_into_the_constant_log_sum_exp_of_a_masked_row_ends_there() -> None:
    call = random_call((1, 1, 8, 4, 16), causal=True)
    call.dlse[..., :4] = float("nan")
    assert all(x.isfinite().all() for x in run(call)[2:5])


@pytest.mark.parametrize("offset", [-1e4, 1e4])
def test_logits_far_from_zero_neither_overflow_nor_vanish(offset: float) -> None:
    call = random_call((1, 1, 20, 200, 16), bias=(1, 1))
    with torch.no_grad():
        call.bias.fill_(offset)
    # Rounding such logits to float32 alone costs 1e4 · 2^-24 · log2(e) or 1e-3.
    result, exact = run(call), call.solve()
    assert error(result.lse, exact.lse) < 1e-6
    assert all(error(*pair) < 5e-3 for pair in zip(result[:5], exact[:5], strict=True))


def test_an_empty_batch_gives_empty_results_and_a_zero_bias_gradient() -> None:
    call = random_call((0, 2, 5, 7, 16), bias=(5, 7))
    result = run(call)
    assert result.out.shape == (0, 2, 5, 16)
    assert torch.equal(result.dbias, torch.zeros(5, 7))


def test_two_runs_are_equal_to_the_bit() -> None:
    call = random_call((2, 2, 140, 70, 16), bias=(1, 70), dtype=torch.bfloat16)
    assert all(torch.equal(*pair) for pair in zip(run(call), run(call), strict=True))


def packed(q: Tensor) -> list[Tensor]:
    """Lay q, k, v out as a linear layer leaves them: [B, N, 3, H, D]."""
    batch, heads, rows, head_dim = q.shape
    qkv = torch.randn(batch, rows, 3, heads, head_dim)
    return list(qkv.permute(2, 0, 3, 1, 4).unbind(0))


def head_dim_first(q: Tensor) -> list[Tensor]:
    return [torch.randn(*q.shape[:2], q.shape[3], q.shape[2]).mT for _ in range(3)]


def every_other(q: Tensor) -> list[Tensor]:
    return [torch.randn(*q.shape[:3], 2 * q.shape[3])[..., ::2] for _ in range(3)]


def one_head_for_all(q: Tensor) -> list[Tensor]:
    return [q.detach(), *(x[:, :1].expand(q.shape) for x in packed(q)[1:])]


class Watching(launch.DeviceLauncher):
    """Launches, and keeps the address and strides of every tensor that a kernel got."""

    def __init__(self) -> None:
        super().__init__(torch.device("cpu"))
        self.seen: set[tuple[int, tuple[int, ...]]] = set()

    def __call__(self, kernel: Any, programs: int, tile: Any, args: Any, meta: Any) -> None:
        tensors = [x for x in args if isinstance(x, Tensor)]
        self.seen |= {(x.data_ptr(), x.stride()) for x in tensors}
        super().__call__(kernel, programs, tile, args, meta)


@pytest.mark.parametrize("lay", [packed, head_dim_first, every_other, one_head_for_all])
def test_inputs_of_any_strides_are_read_in_place(lay: Callable[[Tensor], list[Tensor]]) -> None:
    shape = torch.randn(1, 2, 70, 24)
    q, k, v = lay(shape)
    dout, bias = lay(shape)[0], torch.randn(2, 70, 70).mT[None]
    watching = Watching()
    problem = launch.Problem(q, k, v, bias, False, 0.2, watching)
    out, lse = launch.forward(problem)
    above = launch.upstream(problem, out, lse, dout, None)
    ours = [
        out,
        launch.query_gradient(problem, above),
        *launch.key_value_gradients(problem, above),
        launch.bias_gradient(problem, above),
    ]
    assert {(x.data_ptr(), x.stride()) for x in (q, k, v, dout)} <= watching.seen
    assert bias.data_ptr() in {address for address, _ in watching.seen}

    exact = Call(q, k, v, bias, False, 0.2, dout, torch.zeros_like(lse)).solve()
    for result, name in zip(ours, ("out", "dq", "dk", "dv", "dbias"), strict=True):
        assert error(result, getattr(exact, name)) < 2e-6, name


def test_strides_too_wide_for_32_bits_are_multiplied_in_64_bits() -> None:
    # Rows 2^25 apart: the offset of row 64 is 2^31. Only the pages of the rows are ever touched.
    few = torch.randn(1, 1, 66, 16).half()
    wide = torch.empty(65 * 2**25 + 16, dtype=torch.float16).as_strided(few.shape, (0, 0, 2**25, 1))
    wide.copy_(few)
    assert torch.equal(Flash()(wide, wide, wide), Flash()(few, few, few))


def saved_bytes(call: Call) -> int:
    """Return the bytes that autograd keeps besides the inputs and the output."""
    kept: dict[int, int] = {}

    def pack(x: Tensor) -> Tensor:
        kept[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
        return x

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        out = Flash()(call.q, call.k, call.v, bias=call.bias)
    given = [x for x in (*call[:4], out) if isinstance(x, Tensor)]
    return sum(kept.values()) - sum(x.untyped_storage().nbytes() for x in given)


@pytest.mark.parametrize("tokens", [64, 192])
def test_the_backward_keeps_only_the_log_sum_exp(tokens: int) -> None:
    call = random_call((2, 3, tokens, tokens, 16), bias=(3, tokens, tokens))
    shape = AttentionShape(batch=2, heads=3, queries=tokens, keys=tokens, head_dim=16)
    assert saved_bytes(call) == Flash().saved_bytes(shape, 4) == 4 * 2 * 3 * tokens


class Largest(TorchDispatchMode):
    """Keeps the number of elements of the largest tensor that is made."""

    elements = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        made = func(*args, **(kwargs or {}))
        if isinstance(made, Tensor):
            self.elements = max(self.elements, made.numel())
        return made


@pytest.mark.parametrize("shape", [(1, 1, 1, 300), (1, 1, 300, 1), (1, 1, 1, 1)])
def test_a_bias_without_a_matrix_gets_its_gradient_without_one(shape: tuple[int, ...]) -> None:
    call = random_call((1, 1, 300, 300, 16), bias=shape)
    problem = launch.Problem(
        *(x.detach() for x in call[:4]), False, call.scale, launch.DeviceLauncher(call.q.device)
    )
    out, lse = launch.forward(problem)
    with Largest() as largest:
        launch.bias_gradient(problem, launch.upstream(problem, out, lse, call.dout, None))
    assert largest.elements < 300 * 300 / 4


@pytest.mark.parametrize(
    ("bias", "reason"),
    [
        (torch.zeros(3, 4), "does not broadcast"),
        (torch.zeros(4, 4, dtype=torch.bool), "not of torch.bool"),
    ],
)
def test_a_bias_that_cannot_be_added_is_refused(bias: Tensor, reason: str) -> None:
    q = torch.randn(1, 1, 4, 16)
    with pytest.raises(ValueError, match=reason):
        Flash()(q, q, q, bias=bias)
