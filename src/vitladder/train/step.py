"""The gradient of one batch, whole or in micro-batches."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from vitladder.train.model import PlacedTransformer


def accumulate_gradient(
    model: PlacedTransformer, images: Tensor, labels: Tensor, micro_batch: int | None
) -> Tensor:
    """Add the gradient of the batch's mean cross-entropy to the parameters; return that mean.

    Images are [B, C, H, W], labels classes [B] or probabilities [B, classes]. Only `micro_batch`
    images at a time keep their activations, None means all; each piece weighs as many images as
    it has, so that a last, smaller one counts for no more.
    """
    size = micro_batch or len(images)
    kept = model.draw_kept(len(images))
    losses = []
    for start in range(0, len(images), size):
        piece = slice(start, start + size)
        logits = model(images[piece], None if kept is None else kept[:, piece])
        loss = cross_entropy(logits, labels[piece])
        loss = loss * (len(logits) / len(images))
        torch.autograd.backward(loss)
        losses.append(loss.detach())
    return torch.stack(losses).sum()
