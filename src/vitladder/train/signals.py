"""Signals that ask a run to end: noted, so that it can save first."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from vitladder.runs.invocation import Invocation, abandoned, interruption_requested

# How often to look for what others ask: a step may take a millisecond, and a file server ten.
_LOOK_SECONDS = 0.25
_ASKING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)


class Signals:
    """Notes signals that ask for an end instead of dying of them, and the command's own death.

    A SIGHUP that is ignored, as nohup has it, stays ignored. SIGUSR1 is what Slurm sends before a
    job's time is over, to each process of a run and to those that pass it on.
    """

    def __init__(self, invocation: Invocation, study: Path) -> None:
        """Nothing has come yet; a command whose runs train side by side asks in their study."""
        self._study = study
        self._looked = 0.0
        self._received: signal.Signals | None = None
        self._asked: float | None = None
        self._invocation = invocation
        self._before = {
            number: signal.getsignal(number)
            for number in _ASKING
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN
        }

    def received(self) -> signal.Signals | None:
        """Return the signal that asks this run to end, or None; SIGHUP if its command is dead."""
        if abandoned(self._invocation):
            return signal.SIGHUP
        if self._received is None and time.monotonic() - self._looked > _LOOK_SECONDS:
            self._looked = time.monotonic()
            if interruption_requested(self._study, self._invocation):
                self._received = signal.SIGINT
        return self._received

    @property
    def waits(self) -> float:
        """For how many seconds a signal has been waiting; 0 if there is none."""
        if self._asked is None and self.received() is not None:
            self._asked = time.monotonic()
        return 0.0 if self._asked is None else time.monotonic() - self._asked

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Note signals within this block; a second one acts as it did before."""
        self.listen()
        try:
            yield
        finally:
            self._restore()

    def listen(self) -> None:
        """Take the signals, also from Lightning, which takes SIGTERM for itself when it starts."""
        for number in self._before:
            signal.signal(number, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        del frame
        self._received = self._received or signal.Signals(number)
        self._asked = self._asked or time.monotonic()
        for other in self._before.keys() - {signal.SIGUSR1}:
            signal.signal(other, self._before[other])

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
