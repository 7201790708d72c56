"""Send a run to W&B's server while it trains: follow its metrics.csv until its end is told."""

from __future__ import annotations

import json
import math
import os
import select
import signal
import sys
from pathlib import Path

from vitladder.runs import metrics
from vitladder.runs.wandb_about import FIT_JOB, read_about, wandb_id
from vitladder.runs.wandb_process import only_sender, told
from vitladder.runs.wandb_session import open_session

CONNECT_SECONDS = 10.0
FINISH_SECONDS = 5.0
_LOOK_SECONDS = 2.0


def follow(folder: Path, files: Path) -> None:
    """Send rows as they come until stdin has the last word, or the process that trains is gone."""
    # Training needs the cores more.
    os.nice(10)
    about = read_about(folder)
    assert about is not None  # noqa: S101  # who calls has written it
    with only_sender(folder, CONNECT_SECONDS):
        session = open_session(
            about,
            wandb_id(folder),
            mode="online",
            files=files,
            connect_seconds=CONNECT_SECONDS,
            finish_seconds=FINISH_SECONDS,
        )
        tail = metrics.Tail(folder)
        while not select.select([sys.stdin], [], [], _LOOK_SECONDS)[0]:
            session.log_cells(tail.new())
        session.log_cells(tail.new())
        # Nothing, where the process that trains was killed.
        word = json.loads(sys.stdin.readline() or '{"failed": true, "summary": {}}')
        # W&B's own limit does not hold while it still reads rows, and nobody else may end this.
        signal.alarm(math.ceil(FINISH_SECONDS) + 5)
        session.summarise(word["summary"])
        if about.job_type == FIT_JOB:
            session.attach_fit(folder.parent)
        session.finish(failed=word["failed"])


if __name__ == "__main__":
    sys.exit(told(follow))
