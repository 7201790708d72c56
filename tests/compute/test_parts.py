"""The parts of a training step: FLOPs equal flops.py's, bytes what torch's operators touch."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from vitladder.compose import compose_config
from vitladder.compute.flops import attention_flops, forward_flops
from vitladder.compute.parameters import parameters
from vitladder.compute.part import Part
from vitladder.compute.parts import training_parts
from vitladder.compute.plan import load_kernel, position_params, resolve
from vitladder.compute.shape import shape_of
from vitladder.config import Config, DataShape
from vitladder.train.model import build_model

DIGITS = DataShape(train_images=1000, val_images=100, image_size=8, channels=1, classes=10)
ATTENTION = {"scores", "values", "features", "attention"}


@cache
def resolved(*overrides: str) -> Config:
    return resolve(compose_config(["position=none", *overrides]), DIGITS)


def parts_of(
    config: Config, batch: int = 3, element_size: int = 4, **given: Any
) -> dict[str, Part]:
    parts = training_parts(
        shape_of(config.model), load_kernel(config), batch, element_size, **given
    )
    assert len({part.name for part in parts}) == len(parts)
    return {part.name: part for part in parts}


class Traffic(TorchDispatchMode):
    """Bytes of the tensors that go into and come out of every operator, by operator."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        # A bias, and the learned vectors and statistics of a norm, count as nothing.
        inputs = {"addmm": args[1:3], "convolution": args[:2], "convolution_backward": args[:2]}
        read = inputs.get(name, [arg for arg in args if isinstance(arg, Tensor) and arg.ndim > 1])
        if name.startswith("native_layer_norm"):
            read = args[:2] if name.endswith("backward") else args[:1]
        written = [tensor for tensor in _tensors(out) if tensor.ndim > 1]
        written = written[:1] if name.startswith("native_layer_norm") else written
        self.bytes[name] += sum(tensor.numel() * 4 for tensor in [*read, *written])
        return out


def _tensors(out: Any) -> list[Tensor]:
    outs = out if isinstance(out, tuple | list) else [out]
    return [tensor for tensor in outs if isinstance(tensor, Tensor)]


def traffic(config: Config, batch: int) -> tuple[Counter[str], Counter[str]]:
    """Bytes of one forward and one backward of the real model, by operator."""
    shape = shape_of(config.model)
    with torch.device("meta"):
        model = build_model(config)
        size = config.model.image_size or 0
        images = torch.empty(batch, shape.channels, size, size)
    with Traffic() as forward:
        loss = model(images).sum()
    with Traffic() as backward:
        loss.backward()
    return forward.bytes, backward.bytes


@settings(max_examples=20, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(
    attention=st.sampled_from(["naive", "sdpa", "window", "linear", "flash"]),
    heads=st.sampled_from([(1, 1), (2, 1), (3, 3), (4, 2)]),
    head_dim=st.sampled_from([4, 16]),
    depth=st.integers(1, 4),
    patch=st.sampled_from([1, 2, 4]),
    grid=st.integers(1, 4),
    mlp=st.sampled_from(["gelu", "swiglu"]),
    batch=st.integers(1, 64),
    element_size=st.sampled_from([2, 4]),
)
def test_the_products_flops_add_up_to_the_models(
    attention: str,
    heads: tuple[int, int],
    head_dim: int,
    depth: int,
    patch: int,
    grid: int,
    mlp: str,
    batch: int,
    element_size: int,
) -> None:
    config = resolved(f"attention={attention}")
    model = replace(
        config.model,
        width=heads[0] * head_dim,
        heads=heads[0],
        kv_heads=heads[1],
        depth=depth,
        patch=patch,
        image_size=patch * grid,
        mlp=mlp,
    )
    config = replace(config, model=model)
    shape = shape_of(model)
    flops = forward_flops(shape, attention_flops(shape, load_kernel(config)))
    products = {
        name: part
        for name, part in parts_of(config, batch, element_size).items()
        if part.kind == "matmul"
    }
    assert sum(part.forward.flops for part in products.values()) == batch * flops.total
    assert sum(part.backward.flops for part in products.values()) == batch * flops.backward
    assert products["qkv"].forward.flops == batch * flops.qkv
    assert products["patch embedding"].forward.flops == batch * flops.patch_embed
    attend = sum(part.forward.flops for name, part in products.items() if name in ATTENTION)
    assert attend == batch * (flops.scores + flops.values + flops.features)


@settings(max_examples=20, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(
    attention=st.sampled_from(["naive", "linear"]),
    heads=st.sampled_from([(1, 1), (2, 1), (4, 2)]),
    depth=st.integers(1, 3),
    patch=st.sampled_from([1, 2, 4]),
    mlp=st.sampled_from(["gelu", "swiglu"]),
    batch=st.integers(1, 8),
)
def test_the_products_bytes_are_those_that_torch_touches(
    attention: str, heads: tuple[int, int], depth: int, patch: int, mlp: str, batch: int
) -> None:
    config = resolved(f"attention={attention}")
    model = replace(
        config.model,
        width=16,
        heads=heads[0],
        kv_heads=heads[1],
        depth=depth,
        patch=patch,
        mlp=mlp,
    )
    config = replace(config, model=model)
    forward, backward = traffic(config, batch)
    products = [part for part in parts_of(config, batch).values() if part.kind == "matmul"]
    operators = ("mm", "bmm", "addmm", "convolution", "convolution_backward")
    assert sum(part.forward.bytes_moved for part in products) == sum(
        forward[name] for name in operators
    )
    assert sum(part.backward.bytes_moved for part in products) == sum(
        backward[name] for name in operators
    )


@settings(max_examples=20, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(
    depth=st.integers(1, 3),
    heads=st.sampled_from([1, 2, 4]),
    qk_norm=st.booleans(),
    batch=st.integers(1, 8),
)
def test_the_other_parts_bytes_are_those_that_torch_touches(
    depth: int, heads: int, qk_norm: bool, batch: int
) -> None:
    config = resolved("attention=naive")
    model = replace(
        config.model,
        width=16,
        depth=depth,
        heads=heads,
        kv_heads=heads,
        qk_norm=qk_norm,
        pool="token",
    )
    config = replace(config, model=model)
    forward, backward = traffic(config, batch)
    parts = parts_of(config, batch)
    norms = [part for name, part in parts.items() if name in ("norms", "qk norms")]
    assert sum(p.forward.bytes_moved for p in norms) == forward["native_layer_norm"]
    assert sum(p.backward.bytes_moved for p in norms) == backward["native_layer_norm_backward"]
    assert parts["softmax"].forward.bytes_moved == forward["_softmax"]
    assert parts["softmax"].backward.bytes_moved == backward["_softmax_backward_data"]
    assert parts["activation"].forward.bytes_moved == forward["gelu"]
    assert parts["activation"].backward.bytes_moved == backward["gelu_backward"]
    assert parts["residual adds"].forward.bytes_moved == forward["add"]


@pytest.mark.parametrize("attention", ["sdpa", "flash", "flex"])
def test_a_fused_kernel_moves_no_scores(attention: str) -> None:
    config = resolved(f"attention={attention}", "model.patch=1")
    parts = parts_of(config)
    shape = shape_of(config.model)
    q = shape.depth * 3 * 64 * shape.width * 4
    lse = shape.depth * 3 * 64 * shape.heads * 4
    assert parts["attention"].forward.bytes_moved == 4 * q + lse
    assert parts["attention"].backward.bytes_moved == 8 * q + lse
    assert not parts.keys() & {"scores", "values", "softmax"}


def test_a_math_backend_is_not_fused() -> None:
    assert "softmax" in parts_of(resolved("attention=sdpa", "attention.backend=math"))


def test_a_window_moves_fewer_scores_than_full_attention() -> None:
    near = parts_of(resolved("attention=window", "attention.radius=1", "model.patch=1"))
    full = parts_of(resolved("attention=naive", "model.patch=1"))
    assert near["softmax"].forward.bytes_moved < full["softmax"].forward.bytes_moved / 2
    assert near["scores"].forward.flops < full["scores"].forward.flops / 2


def test_half_as_wide_elements_move_half_the_bytes_of_products_but_for_wide_scores() -> None:
    config = resolved("attention=naive")
    wide, narrow = parts_of(config), parts_of(config, element_size=2)
    assert 2 * narrow["qkv"].forward.bytes_moved == wide["qkv"].forward.bytes_moved
    assert narrow["scores"] == wide["scores"]
    assert narrow["scores"].element_size == 4
    assert narrow["norms"].forward.bytes_moved == 3 / 4 * wide["norms"].forward.bytes_moved
    weights = parameters(shape_of(config.model), 0).matmul
    assert narrow["weight casts"].forward.bytes_moved == 6 * weights
    assert "weight casts" not in wide
    assert "weight casts" not in parts_of(config, element_size=2, stored_size=2)


def test_an_encoding_that_turns_q_and_k_reads_and_writes_both() -> None:
    config = resolved("attention=sdpa", "position=rope_axial")
    shape = shape_of(config.model)
    turned = parts_of(config, rotates=True)["rotation"]
    q_and_k = 2 * shape.depth * 3 * shape.tokens.seq * shape.width
    assert turned.forward.bytes_moved == 2 * 4 * q_and_k
    assert turned.forward.flops == 3 * q_and_k
    assert "rotation" not in parts_of(config)


def test_shared_keys_and_values_are_repeated_for_every_head_of_queries() -> None:
    config = resolved("model.width=64", "model.heads=4", "model.kv_heads=1", "attention=sdpa")
    shape = shape_of(config.model)
    one_head = shape.depth * 3 * shape.tokens.seq * 16
    assert parts_of(config)["key repetition"].forward.bytes_moved == 4 * one_head * 2 * (1 + 4)
    assert "key repetition" not in parts_of(resolved("attention=sdpa"))


def test_a_gated_perceptron_reads_two_inputs_and_a_layer_scale_one() -> None:
    config = resolved("model.mlp=swiglu", "model.layer_scale=1e-5", "attention=sdpa")
    shape, parts = shape_of(config.model), parts_of(config)
    rows = shape.depth * 3 * shape.tokens.seq
    assert parts["activation"].forward.bytes_moved == 3 * 4 * rows * shape.hidden
    assert parts["activation"].backward.bytes_moved == 5 * 4 * rows * shape.hidden
    assert parts["activation"].forward.flops == 9 * rows * shape.hidden
    assert parts["layer scale"].forward.bytes_moved == 2 * 4 * 2 * rows * shape.width
    assert parts["layer scale"].backward.bytes_moved == 3 * 4 * 2 * rows * shape.width
    assert "layer scale" not in parts_of(resolved("attention=sdpa"))


def test_adamw_reads_four_numbers_and_writes_three() -> None:
    config = resolved("position=learned")
    shape = shape_of(config.model)
    learned = position_params(config, shape)
    update = parts_of(config, position_params=learned)["optimizer update"]
    assert update.backward.bytes_moved == 28 * parameters(shape, learned).total
    assert update.forward.bytes_moved == 0
    assert update.forward.intensity is None


@settings(deadline=None)
@given(batch=st.integers(1, 512), element_size=st.sampled_from([2, 4]))
def test_element_wise_parts_have_a_lower_intensity_than_any_large_product(
    batch: int, element_size: int
) -> None:
    config = resolved("model=s16", "attention=naive", "model.image_size=224")
    parts = parts_of(config, batch, element_size)
    low = max(p.forward.intensity or 0 for p in parts.values() if p.kind == "element-wise")
    assert low < 3
    assert (parts["MLP in"].forward.intensity or 0) > 30
