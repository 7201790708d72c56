"""Images a second of training alone: pauses for validation and checkpoints do not count."""

from __future__ import annotations

import time


class Speed:
    """A clock over windows of steps.

    The first window holds lazy initialisation, so it counts only while there is no other.
    """

    def __init__(self, batch_size: int) -> None:
        """Start without any window."""
        self._batch_size = batch_size
        self._windows = 0
        self._images = 0
        self._seconds = 0.0
        self.start(0)

    def start(self, step: int) -> None:
        """Begin a window at this step."""
        self._step = step
        self._paused = 0.0
        self._since = time.perf_counter()

    def pause(self) -> None:
        """Stop the clock."""
        self._pause = time.perf_counter()

    def go_on(self) -> None:
        """Let the clock go on after a pause."""
        self._paused += time.perf_counter() - self._pause

    def window(self, step: int) -> float:
        """End the window at this step, begin the next, and return the window's images/s."""
        seconds = time.perf_counter() - self._since - self._paused
        images = (step - self._step) * self._batch_size
        if self._windows == 1:
            self._images, self._seconds = 0, 0.0
        self._windows += 1
        self._images += images
        self._seconds += seconds
        self.start(step)
        return images / seconds

    @property
    def images_per_s(self) -> float | None:
        """Images a second over all windows that count, or None before the first has ended."""
        return self._images / self._seconds if self._seconds > 0 else None
