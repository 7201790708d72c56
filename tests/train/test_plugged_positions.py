"""Every encoding trains with every kernel, also on images of another shape than the trained one."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from vitladder.compose import compose_config
from vitladder.compute.plan import resolve
from vitladder.config import Config, DataShape
from vitladder.errors import UserError
from vitladder.train.model import PlacedTransformer, build_model
from vitladder.train.optimizer import build_optimizer
from vitladder.train.serving import check_plugins

DATA = DataShape(train_images=1000, val_images=100, image_size=16, channels=3, classes=10)
SETTINGS = ["model.width=48", "model.depth=2", "model.heads=3", "model.patch=4", "model.pool=token"]
SETTINGS += ["model.registers=1", "model.qk_norm=false"]
ENCODINGS = sorted(
    file.stem
    for file in (Path(__file__).parents[2] / "plugins" / "position").glob("*.py")
    if not file.name.startswith("_")
)
BIASES = ["alibi2d", "relative_bias"]
LEARNED = {
    "learned": "pos_embed",
    "rope_mixed": "rope_frequencies",
    "relative_bias": "relative_bias",
}
OTHER_KERNELS: dict[str, dict[str, Any]] = {
    "sdpa": {"name": "sdpa"},
    "flash": {"name": "flash"},
    "window": {"name": "window", "radius": 5},  # of at most 6 rows or columns: all of them
}
NAIVE: dict[str, Any] = {"name": "naive"}
SHAPES = [(24, 12), (8, 20), (4, 4)]


@cache
def composed() -> Config:
    return compose_config(SETTINGS)


def model_of(position: str, attention: dict[str, Any]) -> PlacedTransformer:
    """Return the model, its parameters far from the initial ones; equal calls give equal models."""
    torch.manual_seed(0)
    model = build_model(config(position, attention))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model


def config(position: str, attention: dict[str, Any]) -> Config:
    return resolve(replace(composed(), position={"name": position}, attention=attention), DATA)


def logits_and_gradients(
    model: PlacedTransformer, rows: int = 16, columns: int = 16
) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    logits = model(torch.randn(2, 3, rows, columns, generator=generator))
    (logits * torch.randn(logits.shape, generator=generator)).sum().backward()
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    return {"logits": logits.detach(), **gradients}


def test_no_encoding_is_forgotten() -> None:
    assert {"sincos2d", "none", "rope_axial", *LEARNED, *BIASES} <= set(ENCODINGS)


@pytest.mark.parametrize("position", ENCODINGS)
def test_a_step_reaches_every_parameter(position: str) -> None:
    model = model_of(position, NAIVE)
    optimizer = build_optimizer(config(position, NAIVE), model)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    logits_and_gradients(model)
    optimizer.step()
    assert position not in LEARNED or LEARNED[position] in before
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert bool(parameter.grad.isfinite().all()), name
        assert bool(parameter.grad.any()), name
        assert not torch.equal(parameter, before[name]), name


def test_every_layer_learns_a_rotation_of_its_own() -> None:
    gradient = logits_and_gradients(model_of("rope_mixed", NAIVE))["rope_frequencies"]
    assert gradient.abs().amax(dim=(0, 2, 3)).gt(0).tolist() == [True, True]


@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("kernel", ["naive", "flash"])
def test_a_bias_is_between_patches_alone(kernel: str, depth: int) -> None:
    model = model_of("relative_bias", {"name": kernel})
    model.blocks = model.blocks[:depth]
    gradient = logits_and_gradients(model)["relative_bias"]
    # Of a single layer the class token, which is read out, sees none of it.
    assert bool(gradient.any()) == (depth > 1)


@pytest.mark.parametrize("position", ENCODINGS)
@pytest.mark.parametrize("kernel", OTHER_KERNELS)
def test_kernels_agree_on_logits_and_every_gradient(kernel: str, position: str) -> None:
    check_plugins(config(position, OTHER_KERNELS[kernel]), "cpu", "float32")
    ours = logits_and_gradients(model_of(position, OTHER_KERNELS[kernel]))
    exact = logits_and_gradients(model_of(position, NAIVE))
    assert set(ours) == set(exact)
    for name, value in exact.items():
        assert (ours[name] - value).norm() < 1e-5 * value.norm(), name


@pytest.mark.parametrize("position", ENCODINGS)
@pytest.mark.parametrize("kernel", OTHER_KERNELS)
def test_kernels_agree_on_images_of_another_shape(kernel: str, position: str) -> None:
    ours, plain = (model_of(position, plugin) for plugin in (OTHER_KERNELS[kernel], NAIVE))
    for rows, columns in SHAPES:
        images = torch.randn(2, 3, rows, columns, generator=torch.Generator().manual_seed(1))
        with torch.no_grad():
            have, exact = ours(images), plain(images)
        assert exact.shape == (2, 10)
        assert (have - exact).norm() < 1e-5 * exact.norm()


@pytest.mark.parametrize("position", ENCODINGS)
def test_images_of_another_shape_train_every_parameter(position: str) -> None:
    model = model_of(position, NAIVE)
    results = logits_and_gradients(model, 24, 12)
    assert set(results) == {"logits", *dict(model.named_parameters())}
    assert all(bool(value.isfinite().all()) for value in results.values())


@pytest.mark.parametrize("position", sorted({*ENCODINGS} - {*BIASES}))
def test_random_features_train_on_images_of_every_shape(position: str) -> None:
    check_plugins(config(position, {"name": "linear"}), "cpu", "float32")
    model = model_of(position, {"name": "linear"})
    for shape in ((16, 16), *SHAPES):
        model.zero_grad()
        results = logits_and_gradients(model, *shape)
        assert set(results) == {"logits", *dict(model.named_parameters())}
        assert all(bool(value.isfinite().all()) for value in results.values())


@pytest.mark.parametrize("position", BIASES)
def test_random_features_and_a_bias_are_refused_before_training(position: str) -> None:
    with pytest.raises(UserError, match=f"attention=linear cannot.*position={position}: a bias"):
        check_plugins(config(position, {"name": "linear"}), "cpu", "float32")


@pytest.mark.parametrize("position", sorted({*ENCODINGS} - {"none"}))
def test_an_encoding_tells_the_model_where_patches_are(position: str) -> None:
    model = model_of(position, NAIVE)
    images = torch.randn(2, 3, 24, 12, generator=torch.Generator().manual_seed(1))
    moved = images.roll(4, dims=2)
    with torch.no_grad():
        change = (model(images) - model(moved)).norm() / model(images).norm()
        bag = model_of("none", NAIVE)
        no_change = (bag(images) - bag(moved)).norm() / bag(images).norm()
    assert change > 1e-2
    assert no_change < 1e-5
