"""What a person sees while a run trains: a bar on a terminal, lines in train.log."""

from __future__ import annotations

import logging
import sys
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

log = logging.getLogger(__name__)


class Progress(Protocol):
    """Is told how far a run has come."""

    def advance(self, step: int, loss: float, images_per_s: float) -> None:
        """Show the step just done, the mean loss since the last time, and the speed."""

    def close(self) -> None:
        """Leave the terminal tidy."""


class LogProgress:
    """A line in train.log each time."""

    def __init__(self, steps: int) -> None:
        """Remember how many steps there are."""
        self._steps = steps

    def advance(self, step: int, loss: float, images_per_s: float) -> None:
        """Write the line."""
        log.info("step %d/%d: loss %.4f, %.0f images/s", step, self._steps, loss, images_per_s)

    def close(self) -> None:
        """Nothing is open."""


class BarProgress(LogProgress):
    """A bar on the terminal, and the lines in train.log."""

    def __init__(self, steps: int, title: str) -> None:
        """Show an empty bar."""
        super().__init__(steps)
        self._bar = RichProgress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[measured]}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            refresh_per_second=2,
        )
        self._task = self._bar.add_task(title, total=steps, measured="starting")
        self._bar.start()

    def advance(self, step: int, loss: float, images_per_s: float) -> None:
        """Move the bar."""
        super().advance(step, loss, images_per_s)
        measured = f"loss {loss:.3f}  {images_per_s:,.0f} images/s"
        self._bar.update(self._task, completed=step, measured=measured)

    def close(self) -> None:
        """Stop redrawing."""
        self._bar.stop()


def make_progress(steps: int, title: str, *, alone: bool) -> Progress:
    """Return a bar where a person looks on and the run is alone, else lines in the log."""
    if alone and sys.stderr.isatty():
        return BarProgress(steps, title)
    return LogProgress(steps)
