"""Images as training asks for them: uint8 pixels by number, or in stored order from a stream."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

import numpy as np
import numpy.typing as npt

from vitladder.data.draws import IntArray
from vitladder.data.order import evenly_spaced
from vitladder.data.pixels import Pixels
from vitladder.data.reading import Chunk, Read
from vitladder.data.rows import Row
from vitladder.data.sources import Part
from vitladder.data.streams import Stream
from vitladder.errors import UserError

Statistics = npt.NDArray[np.float32]

_CHUNK: Final = 512


class NumberedImages(ABC):
    """Images that can be read in any order."""

    @abstractmethod
    def __len__(self) -> int:
        """How many there are."""

    @abstractmethod
    def take(self, numbers: IntArray) -> Chunk:
        """Return these images and their class numbers."""

    def gather(self, numbers: IntArray) -> Pixels:
        """Return the pixels of these images, uint8 [B, C, H, W]."""
        return self.take(numbers)[0]

    def once(self, size: int) -> Iterator[Chunk]:
        """Yield all images in stored order, `size` at a time; the last chunk is shorter."""
        for start in range(0, len(self), size):
            yield self.take(np.arange(start, min(start + size, len(self))))

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

    def __len__(self) -> int:
        return int(self.labels.size)

    def take(self, numbers: IntArray) -> Chunk:
        """Return these images and their class numbers."""
        return np.asarray(self.pixels[numbers]), self.labels[numbers]


@dataclass(frozen=True)
class UncachedImages(NumberedImages):
    """Images too large for the cache: decoded whenever they are asked for."""

    part: Part
    read: Read

    def __len__(self) -> int:
        return len(self.part)

    def take(self, numbers: IntArray) -> Chunk:
        """Return these images and their class numbers."""
        return self.read(list(self.part.scan(numbers)))


class StreamedImages:
    """Images that come in one order only."""

    def __init__(self, stream: Stream, read: Read) -> None:
        self._stream = stream
        self._read = read

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
            yield self._read(chunk)


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
