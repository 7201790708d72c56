"""Batches of normalised images for training and validation: pure functions of (seed, step)."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

import torch
from torch import Tensor

from vitladder.config import DataConfig
from vitladder.data.augment import check, crop_and_flip
from vitladder.data.cache import Prepared
from vitladder.data.draws import IntArray
from vitladder.data.images import Images, Statistics, StreamedImages, UncachedImages
from vitladder.data.mixing import mix, rand_augment
from vitladder.data.order import Order, Visits, in_stored_order
from vitladder.data.pixels import Pixels

Batch = tuple[Tensor, Tensor]
"""Images float32 [B, C, H, W], normalised; labels int64 [B], or soft float32 [B, classes]."""

_AHEAD: Final = 2


class TrainLoader:
    """Exactly `steps` batches from images that can be read by number.

    `position` is the next step; setting it (or `load_state_dict`) continues from there with the
    batches that an uninterrupted run would have had.
    """

    def __init__(self, prepared: Prepared, config: DataConfig, *, seed: int, steps: int) -> None:
        check(config.augment, prepared.image_size)
        self.steps = steps
        self.position = 0
        self._prepared = prepared
        self._config = config
        self._seed = seed
        self._order = Order(len(prepared.train), config.batch_size, seed)

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[Batch]:
        while self.position < self.steps:
            self.position += 1
            yield self.batch(self.position - 1)

    def state_dict(self) -> dict[str, int]:
        """Return how many batches were handed out."""
        return {"step": self.position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Continue with the batch after those."""
        self.position = state["step"]

    def batch(self, step: int) -> Batch:
        """Return batch `step`, whatever was handed out before."""
        return self._finish(*self._read(step))

    def _read(self, step: int) -> tuple[Pixels, IntArray, Visits]:
        visits = self._order.visits(step)
        images = _by_number(self._prepared.train)
        return images.gather(visits.indices), images.labels[visits.indices], visits

    def _finish(self, pixels: Pixels, labels: IntArray, visits: Visits) -> Batch:
        change = self._config.augment
        pixels = crop_and_flip(pixels, change, self._seed, visits.epochs, visits.indices)
        if change.randaugment:
            pixels = rand_augment(
                pixels, change.randaugment, self._seed, visits.epochs, visits.indices
            )
        images = normalise(pixels, self._prepared.mean, self._prepared.std)
        targets = torch.from_numpy(labels)
        if change.mixup or change.cutmix:
            classes = len(self._prepared.classes)
            return mix(images, targets, change, classes, self._seed, visits.first)
        return images, targets


class PrefetchedTrainLoader(TrainLoader):
    """Reads and decodes two batches ahead in a thread; the draws stay in the calling thread."""

    def __iter__(self) -> Iterator[Batch]:
        ahead: dict[int, Future[tuple[Pixels, IntArray, Visits]]] = {}
        with ThreadPoolExecutor(1, thread_name_prefix="prefetch") as thread:
            while self.position < self.steps:
                step = self.position
                for later in range(step, min(step + _AHEAD + 1, self.steps)):
                    if later not in ahead:
                        ahead[later] = thread.submit(self._read, later)
                self.position += 1
                yield self._finish(*ahead.pop(step).result())


class StreamedTrainLoader(PrefetchedTrainLoader):
    """Batches from a stream, in its order; a start in the middle skips what came before."""

    _batches: Iterator[tuple[Pixels, IntArray]] | None = None
    _next = 0

    def __iter__(self) -> Iterator[Batch]:
        try:
            yield from super().__iter__()
        finally:
            self._batches = None

    def _read(self, step: int) -> tuple[Pixels, IntArray, Visits]:
        images = _stream(self._prepared.train)
        size = self._config.batch_size
        if self._batches is None or step != self._next:
            self._batches = images.forever(step * size, size)
        self._next = step + 1
        pixels, labels = next(self._batches)
        return pixels, labels, Visits(*in_stored_order(step, size, len(images)))


class ValLoader:
    """The whole held-out split in order, only normalised; the last batch is shorter."""

    def __init__(self, prepared: Prepared, config: DataConfig) -> None:
        self._prepared = prepared
        self._batch_size = config.val_batch_size

    def __len__(self) -> int:
        return -(-len(self._prepared.val) // self._batch_size)

    def __iter__(self) -> Iterator[Batch]:
        for pixels, labels in self._prepared.val.once(self._batch_size):
            images = normalise(pixels, self._prepared.mean, self._prepared.std)
            yield images, torch.from_numpy(labels)


def train_loader(prepared: Prepared, config: DataConfig, *, seed: int, steps: int) -> TrainLoader:
    """Return the loader that suits how the training images are stored."""
    kinds: dict[type, type[TrainLoader]] = {
        Images: TrainLoader,
        UncachedImages: PrefetchedTrainLoader,
        StreamedImages: StreamedTrainLoader,
    }
    return kinds[type(prepared.train)](prepared, config, seed=seed, steps=steps)


def normalise(pixels: Pixels, mean: Statistics, std: Statistics) -> Tensor:
    """Return (pixels / 255 - mean) / std as float32 [B, C, H, W]; mean and std are per channel."""
    scale = torch.from_numpy(1 / (255 * std))[:, None, None]
    shift = torch.from_numpy(-mean / std)[:, None, None]
    return torch.from_numpy(pixels).float().mul_(scale).add_(shift)


def _by_number(images: Images | UncachedImages | StreamedImages) -> Images | UncachedImages:
    if isinstance(images, StreamedImages):
        raise TypeError("a stream cannot be read by number; make its loader with train_loader()")
    return images


def _stream(images: Images | UncachedImages | StreamedImages) -> StreamedImages:
    if not isinstance(images, StreamedImages):
        raise TypeError("only a stream is read in order; make the loader with train_loader()")
    return images
