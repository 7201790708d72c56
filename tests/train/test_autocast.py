"""The model under autocast and under activation checkpointing."""

from __future__ import annotations

import pytest
import torch
from timm.models.vision_transformer import VisionTransformer

from vitladder.compose import compose_config
from vitladder.compute.plan import resolve
from vitladder.config import Config, DataShape
from vitladder.train.model import build_model, timm_arguments

DATA = DataShape(train_images=1000, val_images=100, image_size=16, channels=3, classes=10)


def config(*overrides: str) -> Config:
    return resolve(compose_config(["model.width=48", "model.patch=4", *overrides]), DATA)


@pytest.mark.parametrize("pool", ["token", "avg"])
@pytest.mark.parametrize("position", ["learned", "sincos2d", "rope_axial"])
def test_the_residual_stream_is_wide_under_autocast(pool: str, position: str) -> None:
    model = build_model(config(f"model.pool={pool}", f"position={position}"))
    seen: list[torch.dtype] = []
    model.blocks[1].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].dtype))
    with torch.autocast("cpu", torch.bfloat16):
        model(torch.randn(2, 3, 16, 16))
    assert seen == [torch.float32]


@pytest.mark.parametrize("pool", ["token", "avg"])
def test_under_autocast_the_model_is_as_near_to_plain_timm_as_bfloat16_allows(pool: str) -> None:
    asked = config(f"model.pool={pool}", "position=learned", "model.layer_scale=1.0")
    torch.manual_seed(0)
    plain = VisionTransformer(**timm_arguments(asked.model)).eval()
    ours = build_model(asked).eval()
    ours.load_state_dict(plain.state_dict())
    images = torch.randn(4, 3, 16, 16)
    with torch.no_grad():
        exact = plain(images)
        with torch.autocast("cpu", torch.bfloat16):
            difference = (ours(images).float() - exact).norm() / exact.norm()
    assert 0 < float(difference) < 0.03


@pytest.mark.parametrize("position", ["rope_mixed", "relative_bias"])
def test_checkpointed_blocks_run_twice_and_give_the_same_gradients(position: str) -> None:
    torch.manual_seed(0)
    model = build_model(config(f"position={position}"))
    images, runs = torch.randn(2, 3, 16, 16), []
    model.blocks[0].register_forward_pre_hook(lambda *_: runs.append(1))

    def gradients() -> list[torch.Tensor]:
        loss = model(images).square().sum()
        return list(torch.autograd.grad(loss, list(model.parameters()), materialize_grads=True))

    kept = gradients()
    assert len(runs) == 1
    model.set_grad_checkpointing(True)
    recomputed = gradients()
    assert len(runs) == 3
    for ours, theirs in zip(recomputed, kept, strict=True):
        torch.testing.assert_close(ours, theirs)
