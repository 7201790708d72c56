"""One process of a run on several devices: `python -m vitladder.train.rank JOB`."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

from torch.distributed.elastic.multiprocessing.errors import record

from vitladder.train.job import read_job


@record
def train_rank(file: Path) -> None:
    """Train the job with the processes that torchrun's agent has started beside this one."""
    from vitladder.train.loop import train

    train(read_job(file))


def main() -> int:
    """Return the exit code; what went wrong is in the log, and told to the agent."""
    warnings.simplefilter("ignore")
    try:
        train_rank(Path(sys.argv[1]))
    except Exception:
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
