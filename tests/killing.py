"""Lets a process kill itself at a chosen moment of a run, such as the renaming of a checkpoint.

Python tells of every opened and renamed file before it happens, and the process dies right there.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

VARIABLE = "KILLED_AT"
OFTEN = {
    "any": 1,
    "checkpoint written": 10,
    "checkpoint named": 10,
    "checkpoint kept": 10,
    "rows cut": 0.5,
    "record named": 0.5,
    "record kept": 0.5,
    "validation": 5,
}
"""The moments, and about how often each comes in the seconds that a command may live."""


def at_moment() -> None:
    """Let this process die as its environment says: MOMENT NUMBER."""
    moment, _, number = os.environ.get(VARIABLE, "").rpartition(" ")
    if moment in ("", "any"):
        return
    count = Countdown(int(number))
    if moment == "validation":
        _in_validation(count)
    else:
        sys.addaudithook(_HOOKS[moment](count))


class Countdown:
    """Kills the process when it has been called so many times."""

    def __init__(self, number: int) -> None:
        self.left = number

    def __call__(self, after: float = 0.0) -> None:
        """Count one; at the last, die now or `after` seconds."""
        self.left -= 1
        if self.left == 0:
            threading.Timer(after, die).start() if after else die()


def die() -> None:
    """Kill this process as `kill -9` does."""
    os.kill(os.getpid(), signal.SIGKILL)


Hook = Callable[[str, tuple[Any, ...]], None]


def _written(count: Countdown) -> Hook:
    def hook(event: str, about: tuple[Any, ...]) -> None:
        # The file is opened by its descriptor first, and then to write the tensors into it.
        if event == "open" and about[1] == "w" and "/checkpoints/." in str(about[0]):
            count(after=0.0005)

    return hook


def _named(ending: str) -> Callable[[Countdown], Hook]:
    def before(count: Countdown) -> Hook:
        def hook(event: str, about: tuple[Any, ...]) -> None:
            if event == "os.rename" and str(about[1]).endswith(ending):
                count()

        return hook

    return before


def _kept(ending: str) -> Callable[[Countdown], Hook]:
    def after(count: Countdown) -> Hook:
        renamed = False

        def hook(event: str, about: tuple[Any, ...]) -> None:
            nonlocal renamed
            if renamed:
                renamed = False
                count()
            renamed = event == "os.rename" and str(about[1]).endswith(ending)

        return hook

    return after


_HOOKS = {
    "checkpoint written": _written,
    "checkpoint named": _named(".ckpt"),
    "checkpoint kept": _kept(".ckpt"),
    "rows cut": _named("metrics.csv"),
    "record named": _named("record.json"),
    "record kept": _kept("record.json"),
}


def _in_validation(count: Countdown) -> None:
    from vitladder.train.module import Classifier

    step = Classifier.validation_step

    def counted(self: Classifier, batch: Any, batch_idx: int) -> None:
        count()
        step(self, batch, batch_idx)

    Classifier.validation_step = counted  # type: ignore[method-assign]
