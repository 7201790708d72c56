"""Peak memory is what torch's allocator counts, over kernels, formats, remat and micro-batches."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest
import torch
from arithmetic import autocast, built, logits_of, loss_of, most_bytes
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.profiler import ProfilerActivity, profile

from vitladder.compose import compose_config
from vitladder.compute.activations import Layer
from vitladder.compute.formats import FORMATS
from vitladder.compute.memory import Batches, optimizer_numbers, peak, state
from vitladder.compute.parameters import parameters
from vitladder.compute.plan import load_encoding, load_kernel, position_params, resolve
from vitladder.compute.shape import shape_of
from vitladder.config import Config, DataShape
from vitladder.train.model import build_model
from vitladder.train.optimizer import build_optimizer

DATA = DataShape(train_images=1000, val_images=100, image_size=32, channels=3, classes=10)
WIDE = ("model.width=96", "model.heads=3", "model.depth=3", "model.patch=4")


@cache
def resolved(*overrides: str) -> Config:
    return resolve(compose_config(["compute.steps=1", *overrides]), DATA)


def predicted(config: Config, batches: Batches) -> int | None:
    shape = shape_of(config.model)
    numbers = FORMATS[config.precision.name]
    layer = Layer(shape, load_kernel(config), load_encoding(config), numbers)
    count = parameters(shape, position_params(config, shape))
    return peak(layer, count, config.optim.name, batches)


def measured(config: Config, batches: Batches) -> int:
    """The most bytes that are allocated at once over two steps and a held-out pass."""
    parallel = replace(config.parallel, remat=batches.remat)
    config = replace(config, parallel=parallel)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        model = built(config)
        optimizer = build_optimizer(config, model)
        for _ in range(2):
            images, labels = batch_of(config, batches.step)
            optimizer.zero_grad()
            # As Lightning has it: autocast keeps all weights that it casts until the step is over.
            with autocast(config):
                for some in range(0, batches.step, batches.micro):
                    pieces = slice(some, some + batches.micro)
                    loss = loss_of(config, model, images[pieces], labels[pieces])
                    torch.autograd.backward(loss)
            optimizer.step()
            del images, labels, loss
        with torch.inference_mode():
            images, _ = batch_of(config, batches.held_out)
            logits_of(config, model, images)
    return most_bytes(profiled)


def batch_of(config: Config, count: int) -> tuple[Tensor, Tensor]:
    size = config.model.image_size or 0
    images = torch.zeros(count, config.model.channels or 0, size, size)
    return images, torch.zeros(count, dtype=torch.long)


@pytest.mark.slow
@pytest.mark.parametrize("attention", ["naive", "sdpa", "window", "linear"])
@pytest.mark.parametrize(
    ("precision", "remat"),
    [
        *[("fp32", "block"), ("fp32", "selective")],
        *[("bf16", "none"), ("bf16", "block"), ("bf16", "selective")],
        *[("bf16_true", "none"), ("bf16_true", "selective"), ("fp64", "block")],
    ],
)
def test_the_peak_of_a_step(attention: str, precision: str, remat: str) -> None:
    config = resolved(*WIDE, f"attention={attention}", f"precision={precision}")
    batches = Batches(step=16, micro=16, held_out=1, remat=remat)
    assert predicted(config, batches) == pytest.approx(measured(config, batches), rel=0.1)


@pytest.mark.slow
@pytest.mark.parametrize(
    "case",
    [
        "many tokens: model.patch=2 attention=naive",
        "rounded products: attention=naive attention.products=input model.patch=2 precision=bf16",
        "many parameters: model.width=252 model.patch=8 model.depth=4 precision=bf16",
        "the options: model.mlp=swiglu model.norm=rmsnorm model.pool=token position=rope_axial",
        "a learned bias: position=relative_bias model.kv_heads=1",
    ],
)
def test_the_peak_of_other_shapes(case: str) -> None:
    config = resolved(*WIDE, *case.partition(": ")[2].split())
    batches = Batches(step=8, micro=8, held_out=1)
    assert predicted(config, batches) == pytest.approx(measured(config, batches), rel=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("remat", ["none", "block"])
def test_the_peak_with_micro_batches(precision: str, remat: str) -> None:
    config = resolved(*WIDE, f"precision={precision}")
    batches = Batches(step=32, micro=4, held_out=1, remat=remat)
    assert predicted(config, batches) == pytest.approx(measured(config, batches), rel=0.1)


@pytest.mark.slow
def test_narrow_gradients_wait_for_the_casts_of_the_first_micro_batch() -> None:
    config = resolved(*WIDE, "precision=bf16", "model.width=252", "model.patch=8")
    batches = Batches(step=8, micro=2, held_out=1)
    assert predicted(config, batches) == pytest.approx(measured(config, batches), rel=0.05)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "bf16_true"])
def test_images_that_are_cast_are_kept_beside_the_batch(precision: str) -> None:
    small = ("model.width=16", "model.heads=1", "model.depth=1", "model.patch=16")
    config = resolved(*small, "model.image_size=64", f"precision={precision}")
    batches = Batches(step=64, micro=64, held_out=1)
    assert predicted(config, batches) == pytest.approx(measured(config, batches), rel=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("attention", ["naive", "sdpa"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_peak_may_be_in_the_held_out_pass(attention: str, precision: str) -> None:
    config = resolved(*WIDE, f"attention={attention}", f"precision={precision}")
    batches = Batches(step=2, micro=2, held_out=64)
    small = replace(batches, held_out=1)
    assert (predicted(config, batches) or 0) > 1.5 * (predicted(config, small) or 0)
    assert predicted(config, batches) == pytest.approx(measured(config, batches), rel=0.1)


@pytest.mark.parametrize("name", ["adamw", "adam", "lamb", "lion", "sgd", "nadamw", "mars", "muon"])
def test_the_state_of_optimizers(name: str) -> None:
    config = resolved(*WIDE, f"optim.name={name}", "model.pool=token", "position=learned")
    model = build_model(config)
    optimizer = build_optimizer(config, model)
    torch.autograd.backward(cross_entropy(model(batch_of(config, 2)[0]), batch_of(config, 2)[1]))
    optimizer.step()
    kept = [x for values in optimizer.state.values() for x in values.values()]
    numbers = sum(x.numel() for x in kept if isinstance(x, Tensor) and x.ndim)
    shape = shape_of(config.model)
    count = parameters(shape, position_params(config, shape))
    assert optimizer_numbers(name, count) == numbers


@pytest.mark.parametrize("name", ["adamw", "lamb", "lion", "sgd", "mars", "muon"])
@pytest.mark.parametrize("precision", ["bf16_true", "fp64", "bf16"])
def test_the_optimizer_s_numbers_have_the_weights_format(name: str, precision: str) -> None:
    config = resolved(*WIDE, f"optim.name={name}", f"precision={precision}")
    model = built(config)
    optimizer = build_optimizer(config, model)
    torch.autograd.backward(loss_of(config, model, *batch_of(config, 2)))
    optimizer.step()
    kept = [x for values in optimizer.state.values() for x in values.values()]
    count = parameters(shape_of(config.model), 0)
    held = state(count, name, FORMATS[precision].weight)
    assert held is not None
    assert held.optimizer == sum(x.nbytes for x in kept if isinstance(x, Tensor) and x.ndim)


def test_an_optimizer_that_is_not_known_has_no_peak() -> None:
    config = resolved(*WIDE, "optim.name=kron")
    assert predicted(config, Batches(step=2, micro=2, held_out=1)) is None


def test_fp32_adamw_takes_16_bytes_a_parameter_shared_among_devices() -> None:
    shape = shape_of(resolved(*WIDE).model)
    count = parameters(shape, position=0)
    held = state(count, "adamw", element=4)
    assert held is not None
    assert held.total == 16 * count.total
    shared = state(count, "adamw", element=4, shards=4)
    assert shared is not None
    assert shared.total == pytest.approx(held.total / 4, abs=3)
