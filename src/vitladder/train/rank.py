"""One process of a run on several devices: `python -m vitladder.train.rank JOB`."""

from __future__ import annotations

import fcntl
import logging
import os
import signal
import sys
from pathlib import Path

from vitladder.train.imports import import_training


def train_rank(file: Path) -> None:
    """Train the job with the processes that torchrun's agent has started beside this one."""
    from vitladder.runs.invocation import abandoned
    from vitladder.train.job import read_job

    job = read_job(file)
    if os.getppid() != job.invocation.process or abandoned(job.invocation):
        return
    logging.captureWarnings(True)
    with (job.place.folder / f".rank{os.environ['RANK']}").open("w", encoding="ascii") as own:
        # One that a killed command has left behind may have its last step to save.
        fcntl.flock(own, fcntl.LOCK_EX)
        from vitladder.train.loop import train

        train(job)


def main() -> int:
    """Return the exit code; what went wrong is in the log, and told to the agent."""
    # Until the run listens to signals, they end this process without a word.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    import_training()
    from torch.distributed.elastic.multiprocessing.errors import record

    try:
        record(train_rank)(Path(sys.argv[1]))
    except Exception:
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
