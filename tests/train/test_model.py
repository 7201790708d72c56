"""The model, its kernel and its encoding: what each refuses, and how it is optimised."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from vitladder.compose import compose_config
from vitladder.compute.plan import resolve
from vitladder.config import Config, DataShape
from vitladder.errors import UserError
from vitladder.extend import registry
from vitladder.extend.attention import AttentionSpec
from vitladder.train.model import build_model
from vitladder.train.serving import check_plugins

DATA = DataShape(train_images=1000, val_images=100, image_size=16, channels=3, classes=10)
SETTINGS = ["model.width=48", "model.depth=3", "model.heads=3", "model.patch=4"]


def config(*overrides: str) -> Config:
    return resolve(compose_config([*SETTINGS, *overrides]), DATA)


@pytest.mark.parametrize("name", ["naive", "sdpa"])
@pytest.mark.parametrize("bias_shape", [(2, 3, 5, 7), (1, 3, 5, 7), (5, 7)])
@pytest.mark.parametrize("causal", [False, True])
def test_a_kernel_is_softmax_attention(
    name: str, bias_shape: tuple[int, ...], causal: bool
) -> None:
    generator = torch.Generator().manual_seed(0)
    q = torch.randn(2, 3, 5, 4, generator=generator, dtype=torch.float64)
    k, v = torch.randn(2, 2, 3, 7, 4, generator=generator, dtype=torch.float64)
    bias = torch.randn(bias_shape, generator=generator, dtype=torch.float64)
    scores = q @ k.mT * 0.3 + bias
    if causal:
        seen = torch.arange(7) <= torch.arange(5)[:, None] + 2
        scores = scores.masked_fill(~seen, float("-inf"))
    output, lse = registry.load("attention", name)(
        q, k, v, bias=bias, causal=causal, scale=0.3, return_lse=True
    )
    torch.testing.assert_close(output, scores.softmax(-1) @ v)
    torch.testing.assert_close(lse, scores.logsumexp(-1))


@pytest.mark.parametrize("name", ["naive", "sdpa"])
def test_a_fully_masked_row_gives_zero_and_no_nan_backward(name: str) -> None:
    q, k, v = (torch.randn(1, 1, 3, 4, requires_grad=True) for _ in range(3))
    bias = torch.zeros(1, 1, 3, 3)
    bias[..., 1, :] = float("-inf")
    output, lse = registry.load("attention", name)(q, k, v, bias=bias, return_lse=True)
    assert output[0, 0, 1].tolist() == [0, 0, 0, 0]
    assert lse[0, 0, 1] == float("-inf")
    output.sum().backward()
    for tensor in (q, k, v):
        assert tensor.grad is not None
        assert tensor.grad.isfinite().all()


def test_sincos_leaves_the_class_token_alone_and_tells_places_apart() -> None:
    encoding = registry.load("position", "sincos2d")
    tokens = torch.zeros(2, 1 + 6, 8)
    placed = encoding.embed(tokens, (2, 3))
    assert placed[:, 0].abs().max() == 0
    assert len({tuple(row) for row in placed[0, 1:].tolist()}) == 6


def test_an_encoding_that_cannot_serve_says_so() -> None:
    odd = config("model.width=50", "model.heads=5")
    with pytest.raises(UserError, match="position=sincos2d cannot serve this model: the width"):
        build_model(odd)
    with pytest.raises(UserError, match="position=sincos2d cannot serve this model: the width"):
        check_plugins(odd, "cpu", "float32")


def test_a_kernel_that_cannot_serve_says_so_before_training() -> None:
    folder = Path("plugins/attention")
    folder.mkdir(parents=True)
    (folder / "gpu_only.py").write_text(
        "from dataclasses import dataclass\n"
        "from vitladder.extend.attention import AttentionKernel\n"
        "@dataclass(frozen=True)\n"
        "class GpuOnly(AttentionKernel):\n"
        "    def __call__(self, q, k, v, **rest):\n"
        "        return v\n"
        "    def supports(self, spec):\n"
        "        return None if spec.device == 'cuda' else f'it needs CUDA, not {spec.device}'\n"
    )
    with pytest.raises(UserError, match=r"attention=gpu_only cannot serve.*it needs CUDA, not cpu"):
        check_plugins(config("attention=gpu_only"), "cpu", "float32")
    assert registry.load("attention", "sdpa").supports(AttentionSpec("cpu", "float32", 16)) is None


def test_a_copy_of_the_model_has_its_own_positions() -> None:
    model = build_model(config("position=learned"))
    twin = copy.deepcopy(model)
    with torch.no_grad():
        model.pos_embed.add_(1.0)
    assert (model.pos_embed - twin.pos_embed).abs().min() > 0.5


def test_weight_decay_spares_norms_biases_tokens_and_positions() -> None:
    from vitladder.train.optimizer import build_optimizer

    asked = config("position=learned", "model.pool=token")
    model = build_model(asked)
    optimizer = build_optimizer(asked, model)
    decayed = {id(p) for g in optimizer.param_groups if g["weight_decay"] > 0 for p in g["params"]}
    names = {name for name, p in model.named_parameters() if id(p) in decayed}
    matrices = {name for name, p in model.named_parameters() if p.ndim in (2, 4)}
    assert names == matrices
    assert len(decayed) < sum(len(g["params"]) for g in optimizer.param_groups)


@pytest.mark.parametrize("name", ["adamw", "lamb", "muon", "sgd", "lion"])
def test_timms_optimizers_can_be_chosen(name: str) -> None:
    from vitladder.train.optimizer import build_optimizer

    asked = config(f"optim.name={name}")
    model = build_model(asked)
    optimizer = build_optimizer(asked, model)
    before = [p.detach().clone() for p in model.parameters()]
    model(torch.randn(2, 3, 16, 16)).square().mean().backward()
    optimizer.step()
    changed = [not torch.equal(p, b) for p, b in zip(model.parameters(), before, strict=True)]
    assert sum(changed) > len(changed) / 2


def test_an_unknown_optimizer_is_one_line() -> None:
    from vitladder.train.optimizer import build_optimizer

    asked = config("optim.name=adamx")
    with pytest.raises(UserError, match="no optimizer 'adamx'; did you mean 'adamax' or"):
        build_optimizer(asked, build_model(asked))


def test_the_learning_rate_follows_width_and_depth() -> None:
    from vitladder.train.optimizer import learning_rate

    optim = replace(config().optim, lr=0.1, base_width=16, width_power=0.5, depth_power=0.5)
    assert learning_rate(optim, 16, 1) == pytest.approx(0.1)
    assert learning_rate(optim, 64, 4) == pytest.approx(0.1 / 2 / 2)
