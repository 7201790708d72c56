"""Send a run to W&B's server, whole and once: what metrics.csv has and the server lacks."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

from vitladder.runs.metrics import read_rows
from vitladder.runs.record import read_record
from vitladder.runs.wandb_about import About, read_about, to_send, wandb_id, write_sent
from vitladder.runs.wandb_process import only_sender, told
from vitladder.runs.wandb_session import Session, open_session

CONNECT_SECONDS = 30.0
# The process that waits for this one is the one that knows how long.
_NO_LIMIT = 0.0


class Incomplete(Exception):  # noqa: N818  # what the server has, not a fault of ours
    """W&B's client was content, and its server has not everything."""


def upload(folder: Path, files: Path) -> None:
    """Send a run from where the server stands, ask the server what it has, and remember that.

    W&B's client may give up without an error, so a second session asks what came of the first.
    """
    about = read_about(folder)
    assert about is not None  # noqa: S101  # who calls has seen it
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with only_sender(folder, seconds=0):
        record = read_record(folder)
        failed = about.summary is None and (record is None or record.status != "complete")
        sent = to_send(folder, about)
        session = _session(folder, files, about)
        session.log_cells(row for row in read_rows(folder) if int(row["step"]) <= sent.last_step)
        session.summarise(sent.summary)
        if sent.files:
            session.attach_fit(folder.parent)
        session.finish(failed=failed)
        again = _session(folder, files, about)
        reached, summarised = again.next_step - 1, again.has(sent.summary)
        again.finish(failed=failed)
        if reached < sent.last_step:
            raise Incomplete(f"its server stands at step {max(reached, 0)} of {sent.last_step}")
        if not summarised:
            raise Incomplete("its server lacks figures of its summary")
        write_sent(folder, sent)


def _end_with_parent() -> None:
    """Do not hold the run for a command that was killed: its end of stdin closes."""
    sys.stdin.read()
    os._exit(1)


def _session(folder: Path, files: Path, about: About) -> Session:
    return open_session(
        about,
        wandb_id(folder),
        mode="online",
        files=files,
        connect_seconds=CONNECT_SECONDS,
        finish_seconds=_NO_LIMIT,
    )


if __name__ == "__main__":
    sys.exit(told(upload))
