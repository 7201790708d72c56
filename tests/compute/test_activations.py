"""What is kept for the backward is, to the byte, what torch's autograd saves."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest
import torch
from arithmetic import built, loss_of
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from torch import Tensor

from vitladder.compose import compose_config
from vitladder.compute.activations import Activations, Layer, activations
from vitladder.compute.formats import FORMATS
from vitladder.compute.kernels import with_kernel
from vitladder.compute.plan import load_encoding, load_kernel, resolve
from vitladder.compute.shape import shape_of
from vitladder.config import Config, DataShape

DATA = DataShape(train_images=1000, val_images=100, image_size=8, channels=3, classes=10)


@cache
def resolved(*overrides: str) -> Config:
    return resolve(compose_config(["compute.steps=1", *overrides]), DATA)


def predicted(config: Config, batch: int) -> Activations:
    layer = Layer(
        shape_of(config.model),
        load_kernel(config),
        load_encoding(config),
        FORMATS[config.precision.name],
    )
    return activations(layer, batch)


def saved(config: Config, batch: int) -> int:
    """The bytes of all storages that a forward saves, without the parameters' own."""
    model = built(config)
    parameters = {p.untyped_storage().data_ptr() for p in model.parameters()}
    size = config.model.image_size or 0
    images = torch.randn(batch, config.model.channels or 0, size, size)
    kept: list[Tensor] = []

    def keep(tensor: Tensor) -> Tensor:
        kept.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss_of(config, model, images, torch.zeros(batch, dtype=torch.long))
    storages = {x.untyped_storage().data_ptr(): x.untyped_storage().nbytes() for x in kept}
    return sum(size for pointer, size in storages.items() if pointer not in parameters)


# torch says that its RMS norm is not fused for queries narrower than its weights.
@pytest.mark.filterwarnings("ignore:Mismatch dtype between input and weight")
@settings(max_examples=60, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(
    attention=st.sampled_from(["naive", "naive products=input", "sdpa", "window", "linear"]),
    position=st.sampled_from(["sincos2d", "learned", "rope_axial", "rope_mixed"]),
    precision=st.sampled_from(["fp32", "bf16", "fp16", "bf16_true", "fp64"]),
    heads=st.sampled_from([(2, 2), (4, 2), (3, 3)]),
    depth=st.integers(1, 3),
    patch=st.sampled_from([1, 2, 4]),
    pool=st.sampled_from(["token", "avg"]),
    qk_norm=st.booleans(),
    mlp=st.sampled_from(["gelu", "relu", "swiglu"]),
    norm=st.sampled_from(["layernorm", "rmsnorm"]),
    layer_scale=st.sampled_from([None, 1e-5]),
    registers=st.integers(0, 2),
    batch=st.integers(2, 5),
)
def test_every_option_keeps_the_bytes_that_are_said(
    attention: str,
    position: str,
    precision: str,
    heads: tuple[int, int],
    depth: int,
    patch: int,
    pool: str,
    qk_norm: bool,
    mlp: str,
    norm: str,
    layer_scale: float | None,
    registers: int,
    batch: int,
) -> None:
    config = resolved(f"position={position}", f"precision={precision}")
    config = with_kernel(config, attention)
    model = replace(
        config.model,
        width=heads[0] * 8,
        heads=heads[0],
        kv_heads=heads[1],
        depth=depth,
        patch=patch,
        pool=pool,
        qk_norm=qk_norm,
        mlp=mlp,
        norm=norm,
        layer_scale=layer_scale,
        registers=registers,
    )
    config = replace(config, model=model)
    said = predicted(config, batch)
    # window's own figure is not exact.
    rel = 0.15 if attention == "window" else 0
    assert said.total == pytest.approx(saved(config, batch), rel=rel), said


@pytest.mark.filterwarnings("ignore:Mismatch dtype between input and weight")
@pytest.mark.parametrize("precision", ["bf16_true", "fp16", "fp64"])
@pytest.mark.parametrize(
    "options",
    [
        "attention=naive position=rope_mixed model.norm=rmsnorm",
        "attention=linear model.norm=rmsnorm model.qk_norm=false model.mlp=swiglu",
        "attention=naive attention.products=input model.pool=token model.layer_scale=1e-5",
    ],
)
def test_every_precision_keeps_the_bytes_that_are_said(precision: str, options: str) -> None:
    config = resolved(f"precision={precision}", *options.split())
    assert predicted(config, batch=3).total == saved(config, batch=3)


@pytest.mark.parametrize("position", ["alibi2d", "relative_bias"])
@pytest.mark.parametrize(
    ("attention", "precision"),
    [("naive", "fp32"), ("naive", "bf16"), ("naive products=input", "bf16"), ("sdpa", "fp32")],
)
def test_a_bias_is_kept_too(attention: str, precision: str, position: str) -> None:
    given = resolved(f"position={position}", f"precision={precision}", "model.width=32")
    config = with_kernel(given, attention)
    said = predicted(config, batch=8).total
    assert said == pytest.approx(saved(config, batch=8), rel=0.03)
