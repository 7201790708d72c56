"""A training step's arithmetic, as runs have it by their precision, for tests of its memory."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.profiler import profile

from vitladder.compute.formats import FORMATS
from vitladder.config import Config
from vitladder.train.model import PlacedTransformer, build_model

_WEIGHTS = {2: torch.bfloat16, 4: torch.float32, 8: torch.float64}


def autocast(config: Config) -> AbstractContextManager[object]:
    """The products' format, where it is narrower than the weights'."""
    form = FORMATS[config.precision.name]
    if form.activation == form.weight:
        return nullcontext()
    return torch.autocast("cpu", getattr(torch, form.dtype))


def built(config: Config) -> PlacedTransformer:
    """The model for training, with its weights in the precision's format."""
    model = build_model(config).train().to(_weights(config))
    assert isinstance(model, PlacedTransformer)
    return model


def logits_of(config: Config, model: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """Logits in float32 or wider."""
    with autocast(config):
        logits = model(images.to(_weights(config)))
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def loss_of(
    config: Config, model: Callable[[Tensor], Tensor], images: Tensor, labels: Tensor
) -> Tensor:
    """The mean cross-entropy."""
    return cross_entropy(logits_of(config, model, images), labels)


def most_bytes(profiled: profile) -> int:
    """The most bytes that were allocated at once, beside what was there before."""
    events = profiled.profiler.kineto_results.events()  # type: ignore[union-attr]
    changes = sorted((e.start_ns(), e.nbytes()) for e in events if e.name() == "[memory]")
    most = now = 0
    for _, change in changes:
        now += change
        most = max(most, now)
    return most


def _weights(config: Config) -> torch.dtype:
    return _WEIGHTS[FORMATS[config.precision.name].weight]
