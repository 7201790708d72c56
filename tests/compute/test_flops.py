"""Parameters and FLOPs equal torch's own counts, to the unit."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from importlib.resources import files
from pathlib import Path

import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from vitladder.compose import compose_config
from vitladder.compute.flops import attention_flops, forward_flops
from vitladder.compute.parameters import parameters
from vitladder.compute.plan import load_kernel, plan, position_params, resolve
from vitladder.compute.shape import default_heads, shape_of
from vitladder.config import Config, DataShape
from vitladder.errors import UserError
from vitladder.train.model import build_model

DIGITS = DataShape(train_images=1000, val_images=100, image_size=8, channels=1, classes=10)
PRESETS = sorted(f.stem for f in Path(str(files("vitladder.conf"))).glob("model/*.yaml"))


@cache
def resolved(*overrides: str) -> Config:
    """A config with naive attention, whose products torch can count, unless another is given."""
    return resolve(compose_config(["attention=naive", *overrides]), DIGITS)


def assert_counts_equal_torchs(config: Config, batch: int, device: str) -> None:
    """Large models are counted on meta, which has no memory; small ones are quicker on the CPU."""
    shape = shape_of(config.model)
    with torch.device(device):
        model = build_model(config)
        images = torch.empty(
            batch, shape.channels, config.model.image_size, config.model.image_size
        )
    counted = parameters(shape, position_params(config, shape))
    assert counted.total == sum(p.numel() for p in model.parameters())
    flops = forward_flops(shape, attention_flops(shape, load_kernel(config)))
    with FlopCounterMode(display=False) as forward:
        loss = model(images).sum()
    assert forward.get_total_flops() == batch * flops.total
    with FlopCounterMode(display=False) as backward:
        loss.backward()
    assert backward.get_total_flops() == batch * flops.backward


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_is_counted_exactly(preset: str) -> None:
    assert_counts_equal_torchs(resolved(f"model={preset}"), batch=2, device="meta")


@settings(max_examples=120, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(
    attention=st.sampled_from(["naive", "window", "linear"]),
    heads=st.sampled_from([(1, 1), (2, 1), (3, 3), (4, 2), (4, 1)]),
    head_dim=st.sampled_from([4, 12, 16]),
    depth=st.integers(1, 4),
    mlp_ratio=st.floats(0.5, 5.0),
    patch=st.sampled_from([1, 2, 4]),
    grid=st.integers(1, 4),
    channels=st.sampled_from([1, 3]),
    classes=st.integers(10, 40),
    pool=st.sampled_from(["token", "avg"]),
    qk_norm=st.booleans(),
    mlp=st.sampled_from(["gelu", "relu", "swiglu"]),
    two_thirds=st.booleans(),
    norm=st.sampled_from(["layernorm", "rmsnorm"]),
    layer_scale=st.sampled_from([None, 1e-5]),
    registers=st.integers(0, 4),
    position=st.sampled_from(
        ["none", "learned", "sincos2d", "rope_axial", "rope_mixed", "alibi2d", "relative_bias"]
    ),
)
def test_every_option_is_counted_exactly(
    attention: str,
    heads: tuple[int, int],
    head_dim: int,
    depth: int,
    mlp_ratio: float,
    patch: int,
    grid: int,
    channels: int,
    classes: int,
    pool: str,
    qk_norm: bool,
    mlp: str,
    two_thirds: bool,
    norm: str,
    layer_scale: float | None,
    registers: int,
    position: str,
) -> None:
    if attention == "linear" and position in ("alibi2d", "relative_bias"):
        attention = "naive"
    config = resolved(f"attention={attention}")
    config = replace(config, position=resolved(f"position={position}").position)
    model = replace(
        config.model,
        width=heads[0] * head_dim,
        heads=heads[0],
        kv_heads=heads[1],
        depth=depth,
        mlp_ratio=mlp_ratio,
        patch=patch,
        image_size=patch * grid,
        channels=channels,
        classes=classes,
        pool=pool,
        qk_norm=qk_norm,
        mlp=mlp,
        mlp_two_thirds=two_thirds,
        norm=norm,
        layer_scale=layer_scale,
        registers=registers,
    )
    assert_counts_equal_torchs(replace(config, model=model), batch=3, device="cpu")


def test_the_standard_presets_have_their_known_sizes() -> None:
    known = {"ti16": 5.7e6, "s16": 22e6, "b16": 86e6, "l16": 304e6, "h14": 632e6, "g14": 1.01e9}
    for preset, size in known.items():
        config = resolve(
            compose_config(
                [f"model={preset}", "position=learned", "model.classes=1000", "compute.steps=1"]
            ),
            DIGITS,
        )
        assert plan(config, DIGITS).n_params == pytest.approx(size, rel=0.03)


def test_the_counts_of_parameters_add_up() -> None:
    config = resolved("model.pool=token", "position=learned")
    shape = shape_of(config.model)
    counted = parameters(shape, position_params(config, shape))
    with torch.device("meta"):
        named = dict(build_model(config).named_parameters())
    matmul = [p for n, p in named.items() if p.ndim in (2, 4)]
    assert counted.matmul == sum(p.numel() for p in matmul)
    embedding = ("patch_embed.", "pos_embed", "cls_token", "reg_token")
    rest = [p for n, p in named.items() if not n.startswith(embedding)]
    assert counted.nonembed(shape.width) == sum(p.numel() for p in rest)


@given(st.integers(1, 4096))
def test_heads_that_follow_the_width_divide_it(width: int) -> None:
    heads = default_heads(width)
    assert width % heads == 0
    assert heads == 1 or width // heads >= 64


def test_a_patch_that_does_not_tile_the_data_is_refused() -> None:
    with pytest.raises(UserError, match=r"model\.patch=3 does not divide the images' size 8"):
        resolved("model.patch=3")
