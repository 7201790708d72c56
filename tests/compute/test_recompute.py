"""What is computed again in the backward: its FLOPs are those that torch counts there."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from vitladder.compose import compose_config
from vitladder.compute.activations import Layer
from vitladder.compute.forecast import step_parts
from vitladder.compute.formats import FORMATS
from vitladder.compute.plan import load_encoding, load_kernel, resolve
from vitladder.compute.recompute import kept_bytes, recomputed
from vitladder.compute.shape import shape_of
from vitladder.config import Config, DataShape
from vitladder.train.model import build_model

DATA = DataShape(train_images=1000, val_images=100, image_size=8, channels=1, classes=10)


def resolved(*overrides: str) -> Config:
    return resolve(compose_config(["compute.steps=1", *overrides]), DATA)


def backward_flops(config: Config, remat: str) -> int:
    config = replace(config, parallel=replace(config.parallel, remat=remat))
    with torch.device("meta"):
        model = build_model(config).train()
        loss = model(torch.empty(3, 1, 8, 8)).sum()
    with FlopCounterMode(display=False) as counted:
        loss.backward()
    return int(counted.get_total_flops())


@pytest.mark.parametrize("remat", ["block", "selective"])
@pytest.mark.parametrize("attention", ["naive", "window", "linear"])
@pytest.mark.parametrize(
    "options",
    [
        "model.mlp=gelu",
        "model.layer_scale=1e-5",
        "model.drop_path=0.1",
        "model.mlp=swiglu position=rope_mixed",
    ],
)
def test_products_that_are_computed_again_are_those_of_torch(
    remat: str, attention: str, options: str
) -> None:
    config = resolved(f"attention={attention}", *options.split())
    parts = recomputed(step_parts(config, batch=3), config.model, remat)
    again = sum(part.forward.flops for part in parts if part.kind == "matmul")
    assert again == backward_flops(config, remat) - backward_flops(config, "none")


def test_nothing_is_computed_again_where_all_is_kept() -> None:
    config = resolved()
    assert recomputed(step_parts(config, batch=3), config.model, "none") == []


def test_a_block_of_known_sizes_keeps_its_input_and_its_products() -> None:
    config = resolved("model.width=32", "model.heads=2", "attention=sdpa")
    form = FORMATS["bf16"]
    layer = Layer(shape_of(config.model), load_kernel(config), load_encoding(config), form)
    tokens = 3 * 16
    assert kept_bytes(layer, 3, "block") == tokens * 32 * 4
    products = tokens * (96 + 32 + 128 + 32) * 2
    assert kept_bytes(layer, 3, "selective") == tokens * 32 * 4 + products
    split = replace(layer, tensor=2)
    whole_outputs = 2 * tokens * (32 + 32) * 2
    halves = tokens * (48 + 64) * 2
    assert kept_bytes(split, 3, "selective") == tokens * 32 * 4 + whole_outputs + halves
