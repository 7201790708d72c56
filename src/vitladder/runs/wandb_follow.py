"""Send a run to W&B's server while it trains: follow its metrics.csv until its end is told."""

from __future__ import annotations

import csv
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


class Tail:
    """The rows of a metrics.csv that were not read before, also where another takes its place."""

    def __init__(self, folder: Path) -> None:
        """Begin at its start."""
        self._file = folder / metrics.FILE
        self._inode = 0
        self._read = 0
        self._header: list[str] = []

    def new(self) -> list[dict[str, str]]:
        """Return the whole rows that have come."""
        if not self._file.exists():
            return []
        with self._file.open("rb") as file:
            inode = os.fstat(file.fileno()).st_ino
            if inode != self._inode:
                self._inode, self._read, self._header = inode, 0, []
            file.seek(self._read)
            text = file.read()
        whole = text[: text.rfind(b"\n") + 1]
        self._read += len(whole)
        rows = list(csv.reader(whole.decode().splitlines()))
        if not self._header and rows:
            self._header = rows.pop(0)
        return [dict(zip(self._header, row, strict=True)) for row in rows]


def follow(folder: Path, files: Path) -> None:
    """Send rows as they come until stdin has the last word, or the process that trains is gone."""
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
        tail = Tail(folder)
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
