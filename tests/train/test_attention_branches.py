"""Every branch of timm's attention is in ours: same weights, same output, same gradients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from timm.layers import Attention, LayerNorm, RmsNorm
from torch import Tensor, nn

from vitladder.extend import registry
from vitladder.train.block import Places, attention_layer

WIDTH, HEADS, GRID, SEQ = 48, 4, (4, 4), 17
LIMIT = 1e-5
BRANCHES: dict[str, dict[str, Any]] = {
    "no bias of q, k and v": {"qkv_bias": False},
    "bias of q, k and v": {"qkv_bias": True},
    "no bias of the projection": {"proj_bias": False},
    "qk-norm": {"qk_norm": True, "norm_layer": LayerNorm},
    "qk-norm by RMS": {"qk_norm": True, "norm_layer": RmsNorm},
    "norm before the projection": {"scale_norm": True, "norm_layer": LayerNorm},
    "gate": {"gated": True},
    "gate with a bias": {"gated": True, "qkv_bias": True},
    "dropout after the projection": {"proj_drop": 0.5},
    "heads of a width of their own": {"attn_head_dim": 16},
    "another width out": {"dim_out": 32},
}
BRANCHES["all"] = {name: value for options in BRANCHES.values() for name, value in options.items()}
NEUTRAL: dict[str, tuple[str, Any]] = {
    "q_norm": ("qk-norm", nn.Identity()),
    "k_norm": ("qk-norm by RMS", nn.Identity()),
    "norm": ("norm before the projection", nn.Identity()),
    "gate": ("gate", None),
    "gate.bias": ("gate with a bias", None),
    "qkv.bias": ("bias of q, k and v", None),
    "proj.bias": ("no bias of q, k and v", None),
    "proj_drop": ("dropout after the projection", nn.Identity()),
}


@dataclass(frozen=True)
class Step:
    """The output of a layer, and the gradients of a loss that reads all of it."""

    output: Tensor
    gradients: dict[str, Tensor]


def ours(kernel: str, options: dict[str, Any]) -> tuple[nn.Module, Places]:
    layer = attention_layer(kv_heads=HEADS)(WIDTH, HEADS, **options)
    layer.layer = 0
    encoding = registry.load("position", "none")
    return layer, Places(registry.load("attention", kernel), encoding, GRID, {}, None)


def theirs(options: dict[str, Any]) -> Attention:
    """Return timm's layer with weights at which attention is all but uniform."""
    layer = Attention(WIDTH, HEADS, **options)
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=draw))
    return layer


def step(layer: nn.Module, *places: Places) -> Step:
    draw = torch.Generator().manual_seed(1)
    tokens = torch.randn(3, SEQ, WIDTH, generator=draw).requires_grad_()
    torch.manual_seed(2)  # of the dropout
    output = layer(tokens, *places)
    (output * torch.randn(output.shape, generator=draw)).sum().backward()
    named = {"tokens": tokens, **dict(layer.named_parameters())}
    # All keys share the bias of their norm: softmax does not change with it, its gradient is 0.
    named.pop("k_norm.bias", None)
    return Step(output.detach(), {name: tensor.grad for name, tensor in named.items()})


def error(have: Tensor, exact: Tensor) -> float:
    return float((have - exact).norm() / exact.norm())


@pytest.mark.parametrize("kernel", ["naive", "sdpa", "flash"])
@pytest.mark.parametrize("branch", BRANCHES)
def test_the_layer_is_timms(branch: str, kernel: str) -> None:
    plain = theirs(BRANCHES[branch])
    layer, places = ours(kernel, BRANCHES[branch])
    layer.load_state_dict(plain.state_dict())
    have, exact = step(layer, places), step(plain)
    assert error(have.output, exact.output) < LIMIT
    assert have.gradients.keys() == exact.gradients.keys()
    errors = {name: error(have.gradients[name], want) for name, want in exact.gradients.items()}
    assert max(errors.values()) < LIMIT, errors


@pytest.mark.parametrize("part", NEUTRAL)
def test_a_layer_that_leaves_a_branch_out_is_not(part: str) -> None:
    branch, neutral = NEUTRAL[part]
    plain = theirs(BRANCHES[branch])
    layer, places = ours("sdpa", BRANCHES[branch])
    layer.load_state_dict(plain.state_dict())
    owner, _, name = part.rpartition(".")
    setattr(layer.get_submodule(owner), name, neutral)
    assert error(step(layer, places).output, step(plain).output) > 50 * LIMIT
