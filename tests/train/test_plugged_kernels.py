"""With every kernel plugged in, the model is timm's: its logits, its gradients, its checkpoints."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from timm.layers import RmsNorm, SwiGLU
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from vitladder.compose import compose_config
from vitladder.compute.plan import resolve
from vitladder.config import Config, DataShape
from vitladder.extend.attention import AttentionKernel
from vitladder.extend.registry import load
from vitladder.train.model import build_model

DATA = DataShape(train_images=1000, val_images=100, image_size=16, channels=3, classes=10)
SETTINGS = ["model.width=48", "model.depth=2", "model.heads=4", "model.patch=4", "model.pool=token"]
SETTINGS += ["model.qk_norm=false", "model.layer_scale=1.0", "position=learned"]
LIMIT = 1e-5
OFF = """
from dataclasses import dataclass
from vitladder.extend.attention import AttentionKernel
from vitladder.extend.registry import load

@dataclass(frozen=True)
class Off(AttentionKernel):
    def __call__(self, q, k, v, *, scale, **rest):
        return load("attention", "naive")(q, k, v, scale=1.01 * scale, **rest)
"""
EXACT: dict[str, dict[str, Any]] = {
    "naive": {"name": "naive"},
    "sdpa": {"name": "sdpa"},
    "flash": {"name": "flash"},
    "window": {"name": "window", "radius": 5},  # of at most 6 rows or columns: all of them
}
AVERAGED = {"global_pool": "avg", "class_token": False}
VARIANTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "class token": ({}, {}),
    "averaged": ({"pool": "avg"}, AVERAGED),
    "qk-norm": ({"qk_norm": True}, {"qk_norm": True}),
    "registers": ({"registers": 2}, {"reg_tokens": 2}),
    "rmsnorm": ({"norm": "rmsnorm", "qk_norm": True}, {"norm_layer": RmsNorm, "qk_norm": True}),
    "swiglu": (
        {"mlp": "swiglu", "mlp_two_thirds": False, "registers": 2, "pool": "avg"},
        {"mlp_layer": SwiGLU, "act_layer": nn.SiLU, "reg_tokens": 2, **AVERAGED},
    ),
}


@cache
def composed() -> Config:
    return compose_config(SETTINGS)


def config(attention: dict[str, Any], **model: Any) -> Config:
    """Return the config of a kernel, with some fields of the model changed."""
    changed = replace(composed().model, **model)
    return resolve(replace(composed(), model=changed, attention=attention), DATA)


def plain_timm(**changed: Any) -> VisionTransformer:
    size = {"img_size": 16, "patch_size": 4, "num_classes": 10, "embed_dim": 48}
    shape = {"depth": 2, "num_heads": 4, "init_values": 1.0}
    return VisionTransformer(**{**size, **shape, **changed})


def weights_that_matter(model: nn.Module) -> dict[str, Tensor]:
    """Return weights far from the initial ones, at which attention is all but uniform."""
    generator = torch.Generator().manual_seed(0)
    return {
        name: value + 0.2 * torch.randn(value.shape, generator=generator)
        for name, value in model.state_dict().items()
    }


@dataclass(frozen=True)
class Step:
    """The logits of one batch, and the gradients of a loss that looks at all of them."""

    logits: Tensor
    gradients: dict[str, Tensor]


def step(model: nn.Module, weights: dict[str, Tensor], shape: tuple[int, int] = (16, 16)) -> Step:
    model.load_state_dict(weights)
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(3, 3, *shape, generator=generator)
    logits = model(images)
    (logits * torch.randn(logits.shape, generator=generator)).sum().backward()
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    return Step(logits.detach(), gradients)


def error(ours: Tensor, exact: Tensor) -> float:
    return float((ours - exact).norm() / exact.norm())


def gradient_errors(ours: Step, exact: Step) -> dict[str, float]:
    """Return the relative error of each gradient but of those that are 0: all keys share a bias."""
    assert set(ours.gradients) == set(exact.gradients)
    return {
        name: error(ours.gradients[name], gradient)
        for name, gradient in exact.gradients.items()
        if not name.endswith("k_norm.bias")
    }


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("kernel", EXACT)
def test_logits_and_gradients_are_plain_timms(kernel: str, variant: str) -> None:
    fields, arguments = VARIANTS[variant]
    plain = plain_timm(**arguments)
    ours = build_model(config(EXACT[kernel], **fields))
    assert set(ours.state_dict()) == set(plain.state_dict())
    weights = weights_that_matter(plain)
    have, exact = step(ours, weights), step(plain, weights)
    assert len(exact.gradients) == len(list(plain.parameters()))
    assert error(have.logits, exact.logits) < LIMIT
    errors = gradient_errors(have, exact)
    assert max(errors.values()) < LIMIT, errors


@pytest.mark.parametrize("shape", [(24, 12), (8, 20)])
@pytest.mark.parametrize("kernel", EXACT)
def test_on_images_of_another_shape_too(kernel: str, shape: tuple[int, int]) -> None:
    plain = plain_timm(dynamic_img_size=True)
    weights = weights_that_matter(plain)
    have, exact = (
        step(build_model(config(EXACT[kernel])), weights, shape),
        step(plain, weights, shape),
    )
    assert error(have.logits, exact.logits) < LIMIT
    errors = gradient_errors(have, exact)
    assert max(errors.values()) < LIMIT, errors


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_scale_that_is_one_percent_off_is_seen(variant: str) -> None:
    folder = Path("plugins/attention")
    folder.mkdir(parents=True)
    (folder / "off.py").write_text(OFF)
    fields, arguments = VARIANTS[variant]
    plain = plain_timm(**arguments)
    weights = weights_that_matter(plain)
    wrong = step(build_model(config({"name": "off"}, **fields)), weights)
    exact = step(plain, weights)
    assert error(wrong.logits, exact.logits) > 50 * LIMIT
    errors = gradient_errors(wrong, exact)
    of_attention = [value for name, value in errors.items() if "qkv" in name]
    assert min(of_attention) > 50 * LIMIT, errors


@pytest.mark.parametrize("variant", VARIANTS)
def test_random_features_train_every_parameter(variant: str) -> None:
    fields, arguments = VARIANTS[variant]
    plain = plain_timm(**arguments)
    ours = build_model(config({"name": "linear"}, **fields))
    done = step(ours, weights_that_matter(plain))
    assert len(done.gradients) == len(list(plain.parameters()))
    assert all(bool(gradient.isfinite().all()) for gradient in done.gradients.values())


def repeat_heads(packed: Tensor, kv_heads: int, share: int) -> Tensor:
    """Return q, k and v of as many heads each from those whose k and v heads serve groups."""
    heads = packed.unflatten(0, (-1, 12))
    q, k, v = heads.split([kv_heads * share, kv_heads, kv_heads])
    return torch.cat([q, *(x.repeat_interleave(share, dim=0) for x in (k, v))]).flatten(0, 1)


def add_heads(packed: Tensor, kv_heads: int, share: int) -> Tensor:
    """Return the gradient of grouped heads from that of repeated ones: its sum over a group."""
    q, k, v = packed.unflatten(0, (3, -1, 12))
    summed = [x.unflatten(0, (kv_heads, share)).sum(1) for x in (k, v)]
    return torch.cat([q, *summed]).flatten(0, 1)


@pytest.mark.parametrize("kv_heads", [1, 2])
@pytest.mark.parametrize("kernel", EXACT)
def test_heads_that_share_keys_are_heads_with_repeated_weights(kernel: str, kv_heads: int) -> None:
    share = 4 // kv_heads
    ours = build_model(config(EXACT[kernel], kv_heads=kv_heads))
    weights = weights_that_matter(ours)
    repeated = {
        name: repeat_heads(value, kv_heads, share) if "qkv" in name else value
        for name, value in weights.items()
    }
    have, full = step(ours, weights), step(plain_timm(), repeated)
    summed = {
        name: add_heads(gradient, kv_heads, share) if "qkv" in name else gradient
        for name, gradient in full.gradients.items()
    }
    assert error(have.logits, full.logits) < LIMIT
    errors = gradient_errors(have, Step(full.logits, summed))
    assert max(errors.values()) < LIMIT, errors


@pytest.mark.parametrize(
    ("fields", "arguments"),
    [
        ({"depth": 12, "layer_scale": None}, {}),
        (
            {"depth": 2, "layer_scale": 1e-5, "registers": 4},
            {"depth": 2, "init_values": 1e-5, "reg_tokens": 4},
        ),
    ],
)
def test_timms_checkpoints_load(fields: dict[str, Any], arguments: dict[str, Any]) -> None:
    theirs = timm.create_model("vit_tiny_patch16_224", **arguments)
    torch.save(theirs.state_dict(), "timm.pth")
    size = {"width": 192, "heads": 3, "patch": 16, "image_size": 224, "classes": 1000}
    ours = build_model(config(EXACT["sdpa"], **size, **fields))
    ours.load_state_dict(torch.load("timm.pth", weights_only=True))
    images = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert error(ours.eval()(images), theirs.eval()(images)) < LIMIT


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_products_in_the_inputs_dtype_round_by_less_than_its_unit(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    drawn = [torch.randn(4, 3, 65, 64, dtype=torch.float64) for _ in range(4)]
    inputs = [x.to(dtype).double() for x in drawn]

    def outcome(kernel: AttentionKernel, dtype: torch.dtype) -> list[Tensor]:
        q, k, v = (x.to(dtype).requires_grad_() for x in inputs[:3])
        output = kernel(q, k, v)
        assert isinstance(output, Tensor)
        gradients = torch.autograd.grad(output, (q, k, v), inputs[3].to(dtype))
        return [x.detach().double() for x in (output, *gradients)]

    exact = outcome(load("attention", "naive"), torch.float64)

    def errors(kernel: AttentionKernel) -> list[float]:
        pairs = zip(outcome(kernel, dtype), exact, strict=True)
        return [float((ours - theirs).norm() / theirs.norm()) for ours, theirs in pairs]

    narrow = errors(load("attention", "naive", products="input"))
    wide = errors(load("attention", "naive"))
    assert max(narrow) < 0.6 * torch.finfo(dtype).eps
    assert max(wide) < 0.25 * torch.finfo(dtype).eps


def test_the_log_sum_exp_is_not_rounded_with_the_products() -> None:
    q, k, v = (torch.randn(2, 2, 9, 16, dtype=torch.bfloat16) for _ in range(3))
    _, ours = load("attention", "naive", products="input")(q, k, v, return_lse=True)
    _, wide = load("attention", "naive")(q, k, v, return_lse=True)
    assert torch.equal(ours, wide)
