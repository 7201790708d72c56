"""Slurm's requeue: a job that was told that its time is nearly over asks to be started again.

`#SBATCH --signal=USR1@120` sends SIGUSR1 two minutes before the end, to all processes of a step.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

_NAME = signal.SIGUSR1.name


@contextmanager
def requeued() -> Iterator[None]:
    """Ask Slurm to start this job again where SIGUSR1 interrupts the block.

    Outside of a run's steps the signal ends the block at once; a run saves first.
    """
    before = signal.signal(signal.SIGUSR1, _interrupt)
    try:
        yield
    except KeyboardInterrupt as stop:
        # What interrupts a run says the signal's name first.
        if str(stop).startswith(_NAME) and "SLURM_JOB_ID" in os.environ:
            _ask_slurm()
        raise
    finally:
        signal.signal(signal.SIGUSR1, before)


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    del number, frame
    raise KeyboardInterrupt(_NAME)


def _ask_slurm() -> None:
    job = _job(os.environ)
    try:
        subprocess.run(  # noqa: S603  # Slurm's own command
            ["scontrol", "requeue", job],  # noqa: S607
            check=True,
            capture_output=True,
            text=True,
        )
    except (OSError, subprocess.CalledProcessError) as error:
        said = getattr(error, "stderr", None) or str(error)
        print(
            f"vitladder: Slurm did not take job {job} again ({' '.join(said.split())}); submit it "
            f"again, and it goes on where it stopped",
            file=sys.stderr,
        )
        return
    print(f"vitladder: Slurm starts job {job} again; it goes on where it stopped", file=sys.stderr)


def _job(environment: os._Environ[str]) -> str:
    """Return this job's number, with the task's where it is one of an array."""
    if "SLURM_ARRAY_JOB_ID" in environment:
        return f"{environment['SLURM_ARRAY_JOB_ID']}_{environment['SLURM_ARRAY_TASK_ID']}"
    return environment["SLURM_JOB_ID"]
