"""Signals to a command whose runs train side by side, in worker processes of its own.

joblib kills its workers as soon as the command is interrupted. So the command only notes the first
signal and asks the workers, by a file, to save; it is interrupted when they have.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from joblib.externals.loky.backend import resource_tracker

from vitladder.runs.invocation import current, request_interruption

_ASKING = (signal.SIGINT, signal.SIGUSR1)


@contextmanager
def workers_save_first(studies: Sequence[Path]) -> Iterator[None]:
    """Raise KeyboardInterrupt at the end of the block if a signal came, at once if two did."""
    noted: list[signal.Signals] = []

    def note(number: int, frame: FrameType | None) -> None:
        del frame
        if noted:
            raise KeyboardInterrupt(noted[0].name)
        noted.append(signal.Signals(number))
        for study in studies:
            request_interruption(study)
        print("vitladder: interrupted; the runs save first", file=sys.stderr, flush=True)

    before = {number: signal.signal(number, signal.SIG_IGN) for number in _ASKING}
    # joblib's book-keeper must outlive a signal to all processes: it inherits what is ignored.
    resource_tracker.ensure_running()
    for number in _ASKING:
        signal.signal(number, note)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if noted:
        raise KeyboardInterrupt(noted[0].name)


def is_worker() -> bool:
    """Whether the command started this process to train runs; a cluster's jobs are no workers."""
    return current().comes_back and current().process == os.getppid()


def leave_signals_to_the_command(study: Path) -> None:
    """Let a signal that comes to this worker between two runs end the study, and not the worker.

    A worker that dies takes all others with it. Within a run, the run's own handlers save it.
    """

    def note(number: int, frame: FrameType | None) -> None:
        del number, frame
        request_interruption(study)

    for number in _ASKING:
        signal.signal(number, note)
