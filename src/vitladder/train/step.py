"""The gradient of one device's share of a batch, whole or in micro-batches."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from vitladder.layout import share
from vitladder.train.model import PlacedTransformer

Backward = Callable[[Tensor, bool], None]
"""Adds the gradient of a loss to the parameters; whether it is the last of this step."""


def accumulate_gradient(
    model: PlacedTransformer,
    images: Tensor,
    labels: Tensor,
    kept: Tensor | None,
    *,
    pieces: int = 1,
    of: float | None = None,
    backward: Backward | None = None,
) -> Tensor:
    """Add the gradient of the sum of cross-entropies / of to the parameters; return that.

    Images are [B, C, H, W], labels classes [B] or probabilities [B, classes], `kept` drop-path's
    factors. `of` is B unless given, which makes it the mean. Only one of `pieces` parts of the
    images at a time keeps its activations.
    """
    of = len(images) if of is None else of
    losses = []
    for number in range(pieces):
        piece = slice(*share(len(images), number, pieces))
        logits = model(images[piece], None if kept is None else kept[:, piece])
        loss = cross_entropy(comparable(logits), labels[piece])
        loss = loss * (len(logits) / of)
        if backward is None:
            torch.autograd.backward(loss)
        else:
            backward(loss, number == pieces - 1)
        losses.append(loss.detach())
    return torch.stack(losses).sum()


def comparable(logits: Tensor) -> Tensor:
    """Return logits in which a cross-entropy is exact enough: of 32 bits or more."""
    return logits if logits.dtype == torch.float64 else logits.float()
