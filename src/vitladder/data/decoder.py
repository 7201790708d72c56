"""Decodes rows into pixels, with one thread a core; what cannot be decoded is told, not raised."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from vitladder.data.faults import Unreadable
from vitladder.data.pixels import Pixels, decode
from vitladder.data.rows import Row

Decoded = tuple[Pixels, dict[int, Unreadable]]
"""Pixels uint8 [B, C, H, W], and why those that are black could not be read, in order."""


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
    """Decodes batches of encoded images (Pillow works outside the GIL)."""

    def __init__(self, image_size: int, channels: int, *, drop_colours: bool = False) -> None:
        self.image_size = image_size
        self.channels = channels
        self._drop_colours = drop_colours
        self._count = _usable_threads()
        self._threads = ThreadPoolExecutor(self._count, thread_name_prefix="decode")

    def __call__(self, rows: Sequence[Row]) -> Decoded:
        """Return the images of the rows, and what is wrong with those that cannot be read."""
        pixels = np.zeros((len(rows), *self.shape), dtype=np.uint8)
        # A few images a task: for small ones a task costs as much as the decoding.
        share = -(-len(rows) // (4 * self._count))
        places = range(len(rows))
        tasks = [places[start : start + share] for start in range(0, len(rows), share or 1)]
        found = self._threads.map(lambda task: self._some(rows, task, pixels), tasks)
        return pixels, {place: fault for faults in found for place, fault in faults}

    @property
    def shape(self) -> tuple[int, int, int]:
        """The shape of one image: [channels, height, width]."""
        return self.channels, self.image_size, self.image_size

    def _some(
        self, rows: Sequence[Row], places: range, pixels: Pixels
    ) -> list[tuple[int, Unreadable]]:
        faults = []
        for place in places:
            try:
                pixels[place] = decode(
                    rows[place].raw,
                    rows[place].name,
                    image_size=self.image_size,
                    channels=self.channels,
                    drop_colours=self._drop_colours,
                )
            except Unreadable as fault:
                faults.append((place, fault))
        return faults
