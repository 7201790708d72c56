"""flash is one opaque op for everything that torch does with a model."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
import torch
from closed_form import Call, random_call
from torch import Tensor
from torch.utils.checkpoint import (
    CheckpointPolicy,
    checkpoint,
    create_selective_checkpoint_contexts,
)
from vitladder.plugins.attention.flash import Flash

FORWARD = torch.ops.vitladder.flash_forward.default
BACKWARD = torch.ops.vitladder.flash_backward.default


def ways_of_calling() -> dict[str, Call]:
    return {
        "plain": random_call((1, 2, 5, 7, 16)),
        "causal": random_call((1, 2, 5, 7, 16), causal=True),
        "bias": random_call((2, 2, 5, 7, 16), bias=(1, 2, 5, 7)),
        "row": random_call((2, 2, 5, 7, 16), bias=(1, 1, 1, 7), dtype=torch.bfloat16),
    }


# opcheck itself looks at the .grad of tensors that are not leaves, and torch warns of it.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
@pytest.mark.parametrize("way", ["plain", "causal", "bias", "row"])
def test_the_forward_op_passes_torchs_own_check(way: str) -> None:
    call = ways_of_calling()[way]
    torch.library.opcheck(FORWARD, (*call[:4], call.causal, call.scale))


@pytest.mark.parametrize("wanted", [0, 1, 2, 4, 8, 15])
def test_the_backward_op_passes_torchs_own_check(wanted: int) -> None:
    call = ways_of_calling()["bias"]
    q, k, v, bias = (x.detach() for x in call[:4])
    out, lse = FORWARD(q, k, v, bias, call.causal, call.scale)
    torch.library.opcheck(
        BACKWARD,
        (call.dout, call.dlse, q, k, v, bias, out, lse, wanted, call.causal, call.scale),
        test_utils=("test_schema", "test_faketensor"),
    )


def test_the_output_lies_as_a_transformer_joins_its_heads() -> None:
    out = Flash()(*random_call((2, 3, 5, 5, 16))[:3])
    joined = out.transpose(1, 2).reshape(2, 5, 48)
    assert joined.data_ptr() == out.data_ptr()


def both(call: Call) -> tuple[Tensor, Tensor]:
    return Flash()(*call[:3], bias=call.bias, causal=call.causal, return_lse=True)


def gradients(call: Call, attend: Any = both) -> tuple[Tensor, ...]:
    leaves = [x for x in call[:4] if x is not None]
    return torch.autograd.grad(attend(call), leaves, [call.dout, call.dlse])


def test_it_compiles_without_a_break_for_a_dynamic_number_of_tokens() -> None:
    torch._dynamo.reset()
    compiled = 0

    def count(graph: Any, inputs: Any) -> Any:
        nonlocal compiled
        compiled += 1
        from torch._dynamo.backends.debugging import aot_eager

        return aot_eager(graph, inputs)

    @torch.compile(fullgraph=True, dynamic=True, backend=count)
    def attend(q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        return Flash()(q, k, v, bias=bias, return_lse=True)

    for tokens in (5, 9, 17):
        call = random_call((1, 2, tokens, tokens, 16), bias=(2, tokens, tokens))
        ours = gradients(call, lambda call: attend(*call[:4]))
        assert all(torch.equal(*pair) for pair in zip(ours, gradients(call), strict=True))
    assert compiled == 1


def test_the_log_sum_exp_alone_and_the_output_alone_carry_their_gradients() -> None:
    call = random_call((1, 2, 5, 7, 16), bias=(5, 7))
    none = torch.zeros_like(call.dout)
    for loss, exact in (
        (lambda out, lse: (lse * call.dlse).sum(), call._replace(dout=none).solve()),
        (
            lambda out, lse: (out * call.dout).sum(),
            call._replace(dlse=torch.zeros_like(call.dlse)).solve(),
        ),
    ):
        dq, dk, dbias = torch.autograd.grad(loss(*both(call)), (call.q, call.k, call.bias))
        torch.testing.assert_close(dq.double(), exact.dq, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(dk.double(), exact.dk, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(dbias.double(), exact.dbias, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("needed", [(0,), (1,), (2,), (3,), (0, 3)])
def test_only_the_gradients_that_are_asked_for_are_computed(needed: tuple[int, ...]) -> None:
    call = random_call((1, 2, 5, 7, 16), bias=(5, 7))
    all_of_them = gradients(call)
    for place, leaf in enumerate(call[:4]):
        leaf.requires_grad_(place in needed)
    some = torch.autograd.grad(both(call), [call[x] for x in needed], [call.dout, call.dlse])
    for place, gradient in zip(needed, some, strict=True):
        assert torch.equal(gradient, all_of_them[place])


def test_a_second_derivative_is_refused() -> None:
    call = random_call((1, 1, 5, 5, 16))
    (dq,) = torch.autograd.grad(both(call)[0].sum(), call.q, create_graph=True)
    with pytest.raises(NotImplementedError, match="no second derivative; use attention=naive"):
        dq.sum().backward()


@pytest.fixture
def launches() -> Iterator[list[str]]:
    """Grows by one with every launch of the forward kernel."""
    from vitladder.plugins.attention._flash_forward import forward_kernel

    seen: list[str] = []
    forward_kernel.add_pre_run_hook(lambda *args, **kwargs: seen.append("forward"))
    yield seen
    forward_kernel.pre_run_hooks.pop()


@pytest.mark.parametrize(
    ("policy", "runs"), [(CheckpointPolicy.MUST_SAVE, 1), (CheckpointPolicy.MUST_RECOMPUTE, 2)]
)
def test_selective_checkpointing_saves_the_op_or_runs_it_again(
    policy: CheckpointPolicy, runs: int, launches: list[str]
) -> None:
    call = random_call((1, 2, 5, 7, 16), bias=(5, 7))

    def choose(ctx: Any, op: Any, *args: Any, **kwargs: Any) -> CheckpointPolicy:
        return policy if op is FORWARD else CheckpointPolicy.PREFER_RECOMPUTE

    def again(call: Call) -> tuple[Tensor, Tensor]:
        return checkpoint(
            lambda q, k, v, bias: both(call._replace(q=q * 1, k=k, v=v, bias=bias)),
            *call[:4],
            use_reentrant=False,
            context_fn=partial(create_selective_checkpoint_contexts, choose),
        )

    expected = gradients(call)
    launches.clear()
    assert all(torch.equal(*pair) for pair in zip(gradients(call, again), expected, strict=True))
    assert len(launches) == runs


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_casts_to_the_dtype_of_the_moment(dtype: torch.dtype) -> None:
    call = random_call((1, 2, 5, 7, 16), bias=(5, 7))
    with torch.autocast("cpu", dtype=dtype):
        out, lse = both(call)
    halves = [x.detach().to(dtype) for x in call[:3]]
    expected, expected_lse = Flash()(*halves, bias=call.bias, return_lse=True)
    assert out.dtype == dtype
    assert torch.equal(out, expected)
    assert torch.equal(lse, expected_lse)
    assert torch.autograd.grad(out.sum(), call.q)[0].dtype == torch.float32


def test_the_meta_device_gives_shapes_dtypes_and_strides() -> None:
    call = random_call((2, 3, 5, 7, 16), dtype=torch.bfloat16)
    real = both(call)
    for made, ours in zip(
        Flash()(*(x.to("meta") for x in call[:3]), return_lse=True), real, strict=True
    ):
        assert made.is_meta
        assert (made.shape, made.dtype, made.stride()) == (ours.shape, ours.dtype, ours.stride())
