"""Augmentations of torchvision, which draws from torch's generator: seeded per sample or batch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torchvision.transforms import v2

from vitladder.config import AugmentConfig
from vitladder.data.draws import MIXING, RANDAUGMENT, IntArray, below, draws
from vitladder.data.pixels import Pixels


@contextmanager
def own_generator() -> Iterator[torch.Generator]:
    """Lend torch's CPU generator to be seeded, and put its state back afterwards."""
    state = torch.get_rng_state()
    try:
        yield torch.default_generator
    finally:
        torch.set_rng_state(state)


def rand_augment(
    images: Pixels, magnitude: int, seed: int, epochs: IntArray, indices: IntArray
) -> Pixels:
    """Return images [B, C, H, W] after RandAugment with 2 operations of this magnitude (1..30).

    Cubuk et al., "RandAugment", 2020, as torchvision's v2.RandAugment does it with 31 bins; the
    draws of each sample depend on (seed, epoch, index).
    """
    change = v2.RandAugment(num_ops=2, magnitude=magnitude)
    words = draws(seed, RANDAUGMENT, epochs, indices)
    with own_generator() as generator:
        changed = []
        for image, word in zip(torch.from_numpy(images), words, strict=True):
            generator.manual_seed(int(word >> 1))
            changed.append(change(image))
    return torch.stack(changed).numpy()


def mix(
    images: Tensor, labels: Tensor, config: AugmentConfig, classes: int, seed: int, first: int
) -> tuple[Tensor, Tensor]:
    """Return images [B, C, H, W] mixed with each other, and soft labels [B, classes].

    Mixup (Zhang et al. 2018) or CutMix (Yun et al. 2019) with their alpha, one of both with equal
    chance where both are on; the draws depend on (seed, first visit of the batch).
    """
    word = draws(seed, MIXING, first)
    cutmix = config.cutmix > 0 and (config.mixup == 0 or below(word, 2)[0] == 1)
    change = (
        v2.CutMix(alpha=config.cutmix, num_classes=classes)
        if cutmix
        else v2.MixUp(alpha=config.mixup, num_classes=classes)
    )
    with own_generator() as generator:
        generator.manual_seed(int(word[0] % 2**32))
        mixed, soft = change(images, labels)
    return mixed, soft
