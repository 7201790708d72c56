"""Batches of normalised images for training and validation: pure functions of (seed, step)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from vitladder.config import AugmentConfig, DataConfig
from vitladder.data.augment import check, crop_and_flip
from vitladder.data.cache import Prepared
from vitladder.data.draws import IntArray
from vitladder.data.images import Images, Statistics, StreamedImages, UncachedImages
from vitladder.data.mixing import mix, rand_augment
from vitladder.data.order import Order, Visits, in_stored_order
from vitladder.data.pixels import Pixels
from vitladder.data.reading import NOT_COUNTED, Chunk
from vitladder.data.skipped import SkippedImages

Batch = tuple[Tensor, Tensor]
"""Images float32 [B, C, H, W], normalised; labels int64 [B], or soft float32 [B, classes]."""

Read = tuple[Pixels, IntArray, Visits]
"""What a batch is made from: pixels uint8 [B, C, H, W], class numbers int64 [B], its visits."""

_AHEAD: Final = 2
_ALL: Final = slice(None)


def train_loader(
    prepared: Prepared,
    config: DataConfig,
    *,
    seed: int,
    steps: int,
    classes: int,
    own: slice = _ALL,
) -> TrainLoader:
    """Return exactly `steps` batches; soft labels, where images are mixed, have `classes` columns.

    `own` is the part of every batch that this process trains on. Images that must be decoded are
    read two batches ahead. Raises UserError for augmentation that such images cannot have.
    """
    check(config.augment, prepared.image_size)
    images = prepared.train
    # Images are mixed with others of the whole batch, and a stream is read in its order.
    whole = isinstance(images, StreamedImages) or config.augment.mixup or config.augment.cutmix
    read = (
        _StreamReader(images, config.batch_size)
        if isinstance(images, StreamedImages)
        else _reader(images, Order(len(images), config.batch_size, seed), _ALL if whole else own)
    )
    finish = partial(
        _finish,
        prepared=prepared,
        change=config.augment,
        seed=seed,
        classes=classes,
        own=own if whole else _ALL,
    )
    ahead = 0 if isinstance(images, Images) else _AHEAD
    return TrainLoader(read, finish, prepared.skipped, steps=steps, ahead=ahead)


class TrainLoader:
    """Batches 0 to steps - 1, each read `ahead` steps before it is finished.

    `position` is the next step; setting it (or `load_state_dict`) continues from there with the
    batches that an uninterrupted run would have had. Reading ahead is done in a thread; the draws
    stay in the calling one. The state holds `skipped` too: what could not be read so far.
    """

    def __init__(
        self,
        read: Callable[[int], Read],
        finish: Callable[[Pixels, IntArray, Visits], Batch],
        skipped: SkippedImages,
        *,
        steps: int,
        ahead: int,
    ) -> None:
        self.steps = steps
        self.position = 0
        self.skipped = skipped
        self._read = read
        self._finish = finish
        self._ahead = ahead

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[Batch]:
        return self._iterate_ahead() if self._ahead else self._iterate()

    def state_dict(self) -> dict[str, Any]:
        """Return how many batches were handed out, and what could not be read."""
        return {"step": self.position, "skipped": self.skipped.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue with the batch after those; images that could not be read stay counted."""
        self.position = state["step"]
        self.skipped.load_state_dict(state.get("skipped", self.skipped.state_dict()))

    def batch(self, step: int) -> Batch:
        """Return batch `step`, whatever was handed out before."""
        return self._finish(*self._read(step))

    def _iterate(self) -> Iterator[Batch]:
        while self.position < self.steps:
            self.position += 1
            yield self.batch(self.position - 1)

    def _iterate_ahead(self) -> Iterator[Batch]:
        waiting: dict[int, Future[Read]] = {}
        with ThreadPoolExecutor(1, thread_name_prefix="prefetch") as thread:
            while self.position < self.steps:
                step = self.position
                for later in range(step, min(step + self._ahead + 1, self.steps)):
                    if later not in waiting:
                        waiting[later] = thread.submit(self._read, later)
                self.position += 1
                yield self._finish(*waiting.pop(step).result())


def _reader(images: Images | UncachedImages, order: Order, own: slice) -> Callable[[int], Read]:
    def read(step: int) -> Read:
        visits = order.visits(step).part(own)
        return *images.take(visits.indices), visits

    return read


class _StreamReader:
    """Reads a stream in its order; a step that is not the next one skips what comes before it."""

    def __init__(self, images: StreamedImages, batch_size: int) -> None:
        self._images = images
        self._batch_size = batch_size
        self._next = -1
        self._batches: Iterator[Chunk] = iter(())

    def __call__(self, step: int) -> Read:
        if step != self._next:
            self._batches = self._images.forever(step * self._batch_size, self._batch_size)
        self._next = step + 1
        visits = Visits(*in_stored_order(step, self._batch_size, len(self._images)))
        return *next(self._batches), visits


def _finish(
    pixels: Pixels,
    labels: IntArray,
    visits: Visits,
    *,
    prepared: Prepared,
    change: AugmentConfig,
    seed: int,
    classes: int,
    own: slice,
) -> Batch:
    pixels = crop_and_flip(pixels, change, seed, visits.epochs, visits.indices)
    if change.randaugment:
        pixels = rand_augment(pixels, change.randaugment, seed, visits.epochs, visits.indices)
    images = normalise(pixels, prepared.mean, prepared.std)
    targets = torch.from_numpy(labels)
    if change.mixup or change.cutmix:
        images, targets = mix(images, targets, change, classes, seed, visits.first)
    return images[own], targets[own]


class ValLoader:
    """The whole held-out split in order, only normalised; the last batch is shorter.

    Process `rank` of `of` has every `of`-th image. All have as many batches, which those that
    compute together must: where one has no image of the last batch, it has its first, not counted.
    """

    def __init__(self, prepared: Prepared, config: DataConfig, rank: int = 0, of: int = 1) -> None:
        self._prepared = prepared
        self._batch_size = config.val_batch_size
        self._rank = rank
        self._of = of

    def __len__(self) -> int:
        return -(-len(self._prepared.val) // self._batch_size)

    def __iter__(self) -> Iterator[Batch]:
        for pixels, labels in self._prepared.val.once(self._batch_size):
            own, counted = pixels[self._rank :: self._of], labels[self._rank :: self._of]
            if not len(own):
                own, counted = pixels[:1], np.full(1, NOT_COUNTED)
            images = normalise(own, self._prepared.mean, self._prepared.std)
            yield images, torch.from_numpy(counted)


def normalise(pixels: Pixels, mean: Statistics, std: Statistics) -> Tensor:
    """Return (pixels / 255 - mean) / std as float32 [B, C, H, W]; mean and std are per channel."""
    scale = torch.from_numpy(1 / (255 * std))[:, None, None]
    shift = torch.from_numpy(-mean / std)[:, None, None]
    return torch.from_numpy(pixels).float().mul_(scale).add_(shift)
