"""Images as training asks for them: uint8 pixels by number, or in stored order from a stream."""

from __future__ import annotations

import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from vitladder.data.draws import IntArray
from vitladder.data.order import evenly_spaced
from vitladder.data.pixels import Pixels, Raw, decode
from vitladder.data.rows import by_number
from vitladder.data.sources import Part
from vitladder.data.streams import Row, Stream
from vitladder.errors import UserError

Statistics = npt.NDArray[np.float32]

_CHUNK: Final = 512


def _usable_threads() -> int:
    """Return how many cores this process may use, or torch's threads where these are fewer.

    A run sets torch's threads to its `threads=` before it reads data; here torch is not imported
    to ask, as describing and preparing do without.
    """
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # macOS and Windows cannot say
        cores = os.cpu_count() or 1
    torch = sys.modules.get("torch")
    return cores if torch is None else min(cores, torch.get_num_threads())


class Decoder:
    """Decodes batches of encoded images with one thread a core (Pillow works outside the GIL)."""

    def __init__(self, image_size: int, channels: int, *, drop_colours: bool = False) -> None:
        self.image_size = image_size
        self.channels = channels
        self._drop_colours = drop_colours
        self._count = _usable_threads()
        self._threads = ThreadPoolExecutor(self._count, thread_name_prefix="decode")

    def __call__(self, named: Iterable[tuple[Raw, str]]) -> Pixels:
        """Return the images as uint8 [B, C, H, W]; each comes with its name for messages."""
        images = list(named)
        # A few images a task: for small ones a task costs as much as the decoding.
        share = -(-len(images) // (4 * self._count))
        tasks = [images[start : start + share] for start in range(0, len(images), share)]
        return np.concatenate(list(self._threads.map(self._some, tasks)))

    def _some(self, named: list[tuple[Raw, str]]) -> Pixels:
        one = partial(
            decode,
            image_size=self.image_size,
            channels=self.channels,
            drop_colours=self._drop_colours,
        )
        return np.stack([one(raw, where) for raw, where in named])

    def part(self, part: Part) -> Iterator[Pixels]:
        """Yield all images of a part in order, in chunks [at most 512, C, H, W]."""
        stored = part.rows.scan(part.indices)
        for start in range(0, len(part), _CHUNK):
            numbers = part.indices[start : start + _CHUNK]
            names = [part.rows.where(int(number)) for number in numbers]
            yield self(zip(islice(stored, numbers.size), names, strict=True))


Chunk = tuple[Pixels, IntArray]
"""Pixels uint8 [B, C, H, W] and class numbers int64 [B]."""


class NumberedImages(ABC):
    """Images that can be read in any order; `labels` are their class numbers, int64 [n]."""

    labels: IntArray

    @abstractmethod
    def gather(self, indices: IntArray) -> Pixels:
        """Return the pixels of these images, uint8 [B, C, H, W]."""

    def __len__(self) -> int:
        return int(self.labels.size)

    def once(self, size: int) -> Iterator[Chunk]:
        """Yield all images in stored order, `size` at a time; the last chunk is shorter."""
        for start in range(0, len(self), size):
            numbers = np.arange(start, min(start + size, len(self)))
            yield self.gather(numbers), self.labels[numbers]

    def sampled(self, most: int) -> Iterator[Pixels]:
        """Yield at most `most` images, evenly spaced over the stored order, in chunks."""
        numbers = evenly_spaced(len(self), most)
        for start in range(0, numbers.size, _CHUNK):
            yield self.gather(numbers[start : start + _CHUNK])


@dataclass(frozen=True)
class Images(NumberedImages):
    """Decoded images: pixels uint8 [n, C, H, W], memory-mapped, and class numbers int64 [n]."""

    pixels: Pixels
    labels: IntArray

    def gather(self, indices: IntArray) -> Pixels:
        """Return the pixels of these images, uint8 [B, C, H, W]."""
        return np.asarray(self.pixels[indices])


class UncachedImages(NumberedImages):
    """Images too large for the cache: decoded whenever they are asked for."""

    def __init__(self, part: Part, folder: Path, decoder: Decoder) -> None:
        self.labels = part.labels
        self._indices = part.indices
        self._rows = part.rows
        self._by_number = by_number(part.rows, folder)
        self._decoder = decoder

    def gather(self, indices: IntArray) -> Pixels:
        """Return the pixels of these images, uint8 [B, C, H, W]."""
        rows = self._indices[indices]
        names = [self._rows.where(int(row)) for row in rows]
        return self._decoder(zip(self._by_number.read(rows), names, strict=True))


class StreamedImages:
    """Images that come in one order only."""

    def __init__(self, stream: Stream, decoder: Decoder) -> None:
        self._stream = stream
        self._decoder = decoder

    def __len__(self) -> int:
        return self._stream.count

    def once(self, size: int) -> Iterator[Chunk]:
        """Yield all images, `size` at a time; the last chunk is shorter."""
        return self._chunks(self._epoch(0), size)

    def forever(self, visit: int, size: int) -> Iterator[Chunk]:
        """Yield chunks of exactly `size` images, epoch after epoch, from this visit on."""
        return self._chunks(self._epochs(visit % len(self)), size)

    def sampled(self, most: int) -> Iterator[Pixels]:
        """Yield the stream's sample of at most `most` images, in chunks."""
        return (pixels for pixels, _ in self._chunks(self._stream.sample(most), _CHUNK))

    def _epochs(self, start: int) -> Iterator[Row]:
        while True:
            yield from self._epoch(start)
            start = 0

    def _epoch(self, start: int) -> Iterator[Row]:
        """Yield the rows from `start` on; raise UserError when they are not as many as claimed."""
        position = start
        for row in self._stream.read(start):
            position += 1
            yield row
        if position != len(self):
            raise UserError(
                f"the stream ended after {position} images, of {len(self)} claimed; "
                f"read it with data.streaming=false"
            )

    def _chunks(self, rows: Iterator[Row], size: int) -> Iterator[Chunk]:
        while chunk := list(islice(rows, size)):
            classes = np.array([number for _, _, number in chunk], dtype=np.int64)
            yield self._decoder((raw, name) for raw, name, _ in chunk), classes


def channel_statistics(chunks: Iterable[Pixels]) -> tuple[Statistics, Statistics]:
    """Return mean and standard deviation [C] of pixels / 255, exact, from 256-bin histograms."""
    counts = np.sum([_histograms(pixels) for pixels in chunks], axis=0)
    values = np.arange(256) / 255
    share = counts / counts.sum(axis=1, keepdims=True)
    mean = share @ values
    variance = (share * (values - mean[:, None]) ** 2).sum(axis=1)
    std = np.where(variance > 0, np.sqrt(variance), 1.0)
    return mean.astype(np.float32), std.astype(np.float32)


def _histograms(pixels: Pixels) -> IntArray:
    """Return how often each value occurs in each channel, int64 [C, 256]."""
    channels = pixels.swapaxes(0, 1)
    return np.stack([np.bincount(channel.ravel(), minlength=256) for channel in channels])
