"""The gradient of a batch is the same in micro-batches, recomputed, and compiled."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from vitladder.compose import compose_config
from vitladder.compute.plan import resolve
from vitladder.config import Config, DataShape
from vitladder.layout import pieces
from vitladder.train.model import build_model
from vitladder.train.module import Classifier
from vitladder.train.step import accumulate_gradient
from vitladder.train.world import World

IMAGES = 13
DATA = DataShape(train_images=100, val_images=10, image_size=16, channels=3, classes=10)


def config(*overrides: str) -> Config:
    settings = ["model=micro-16", "model.depth=3", "model.drop_path=0.4", "data.batch_size=13"]
    return resolve(compose_config([*settings, *overrides]), DATA)


def batch(*, soft: bool = False) -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    images, labels = torch.randn(IMAGES, 3, 16, 16), torch.arange(IMAGES) % 10
    return images, 0.9 * one_hot(labels, 10).float() + 0.01 if soft else labels


def built(config: Config) -> Classifier:
    """The module as it is when a fit begins."""
    module = Classifier(config, 1, World())
    module.configure_model()
    return module


def step(config: Config, *, soft: bool = False) -> tuple[Tensor, list[Tensor]]:
    """The loss and gradients of one step, drawn and initialised from fixed seeds."""
    model = built(config).train().model
    torch.manual_seed(2)
    images, labels = batch(soft=soft)
    kept = model.draw_kept(len(images))
    loss = accumulate_gradient(model, images, labels, kept, pieces=pieces(config))
    return loss, [p.grad for p in model.parameters() if p.grad is not None]


@pytest.mark.parametrize("soft", [False, True], ids=["classes", "probabilities"])
@pytest.mark.parametrize("size", [1, 5, 12, 13])
def test_micro_batches_of_any_size_make_the_gradient_of_the_batch(size: int, soft: bool) -> None:
    loss, gradients = step(config(), soft=soft)
    in_pieces, accumulated = step(config(f"parallel.micro_batch={size}"), soft=soft)
    torch.testing.assert_close(in_pieces, loss, rtol=2e-6, atol=0)
    for ours, whole in zip(accumulated, gradients, strict=True):
        torch.testing.assert_close(ours, whole, rtol=1e-4, atol=2e-6)


def test_recomputed_blocks_give_the_same_bits_with_drop_path() -> None:
    loss, gradients = step(config())
    again, recomputed = step(config("parallel.remat=block"))
    assert torch.equal(loss, again)
    assert all(torch.equal(*pair) for pair in zip(gradients, recomputed, strict=True))


@pytest.mark.slow
# Dynamo looks at the gradient of every input, and torch warns where it is no parameter.
@pytest.mark.filterwarnings("ignore:The .grad attribute:UserWarning")
@pytest.mark.parametrize(
    ("kernel", "overrides"),
    [("sdpa", []), ("naive", ["parallel.remat=block", "parallel.micro_batch=7"])],
)
def test_a_compiled_model_gives_the_gradient_within_rounding(
    kernel: str, overrides: list[str]
) -> None:
    loss, gradients = step(config(f"attention={kernel}"))
    compiled, ours = step(config(f"attention={kernel}", "compile=true", *overrides))
    torch.testing.assert_close(compiled, loss, rtol=2e-6, atol=0)
    for mine, eager in zip(ours, gradients, strict=True):
        torch.testing.assert_close(mine, eager, rtol=1e-4, atol=5e-6)


def test_compiling_changes_no_name_in_the_state_dict() -> None:
    plain, compiled = built(config()), built(config("compile=true"))
    assert list(plain.state_dict()) == list(compiled.state_dict())


def test_drop_path_drops_an_image_whole_and_scales_the_others() -> None:
    torch.manual_seed(0)
    model = build_model(config("model.depth=2"))
    kept = model.draw_kept(1000)
    assert kept is not None
    assert kept.shape == (4, 1000, 1, 1)
    assert set(kept[:2].flatten().tolist()) == {1.0}
    assert sorted(set(kept[2:].flatten().tolist())) == pytest.approx([0.0, 1 / 0.6])
    assert float(kept[2:].mean()) == pytest.approx(1, abs=0.1)


def test_without_drop_path_or_training_nothing_is_drawn() -> None:
    assert build_model(config("model.drop_path=0")).draw_kept(4) is None
    model = build_model(config()).eval()
    images, _ = batch()
    assert torch.equal(model(images), model(images))
