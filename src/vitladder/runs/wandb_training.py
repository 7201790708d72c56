"""A run's way to W&B while it trains; whatever W&B does, the run goes on as without it."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from vitladder.runs.wandb_about import About, begin_id, draw_id, write_about
from vitladder.runs.wandb_follow import CONNECT_SECONDS, FINISH_SECONDS
from vitladder.runs.wandb_process import Sender
from vitladder.runs.wandb_session import Session, open_session

log = logging.getLogger(__name__)

_MODULE = "vitladder.runs.wandb_follow"
_LEAST_SECONDS = 0.5
_SHARE = 0.01


class OfflineTracker:
    """logger=wandb: W&B's own offline files; nothing is sent, and no server is asked."""

    def __init__(self, folder: Path, about: About) -> None:
        """Remember what to keep, and where."""
        self._folder = folder
        self._about = about
        self._session: Session | None = None

    def start(self) -> None:
        """Start an offline session of the W&B run."""
        write_about(self._folder, self._about)
        try:
            self._session = self._open(begin_id(self._folder))
        except Exception as error:
            # W&B's service may still hold the id for a session that was killed a moment ago; and
            # one that has died is not started anew unless it is forgotten.
            log.warning("W&B does not go on with its run (%s); this session is a new one", error)
            forget_service()
            try:
                self._session = self._open(draw_id())
            except Exception as again:
                self._give_up(again)

    def _open(self, with_id: str) -> Session:
        return open_session(
            self._about,
            with_id,
            mode="offline",
            files=self._folder,
            connect_seconds=CONNECT_SECONDS,
            finish_seconds=FINISH_SECONDS,
        )

    def log(self, row: Mapping[str, Any]) -> None:
        """Keep one row of metrics.csv."""
        if self._session is not None:
            try:
                self._session.log(row)
            except Exception as error:
                self._give_up(error)

    def summarise(self, summary: Mapping[str, Any]) -> None:
        """Keep the figures that describe the whole run."""
        if self._session is not None:
            try:
                self._session.summarise(summary)
            except Exception as error:
                self._give_up(error)

    def finish(self, *, failed: bool) -> None:
        """Finish the session."""
        if self._session is not None:
            try:
                self._session.finish(failed=failed)
            except Exception as error:
                self._give_up(error)
            self._session = None

    def _give_up(self, error: Exception) -> None:
        """Say once what W&B's client has come to, and ask no more of it."""
        self._session = None
        forget_service()
        warn(self._folder, f"{type(error).__name__}: {error}")


class OnlineTracker:
    """logger=wandb_online: a process beside follows metrics.csv and sends it; this one never waits.

    W&B's own client in this process would: at the end for rows that a silent server does not take
    (its finish_timeout counts only from when they are all read), and at a row for a service that
    stands still; and a service that has died would take the next run of the process with it.
    """

    failed_before: ClassVar[bool] = False
    """Whether W&B failed the last run of this process: it then gets a hundredth of a run's time."""

    def __init__(self, folder: Path, about: About) -> None:
        """Remember what to send."""
        self._folder = folder
        self._about = about
        self._summary: dict[str, Any] = {}
        self._sender: Sender | None = None

    def start(self) -> None:
        """Start the process; it connects while the run begins to train."""
        write_about(self._folder, self._about)
        begin_id(self._folder)
        self._started = time.monotonic()
        try:
            self._sender = Sender(_MODULE, self._folder, self._folder)
        except OSError as error:
            warn(self._folder, f"no process could be started for it: {error}")

    def log(self, row: Mapping[str, Any]) -> None:
        """See that the process is there: it reads the row from metrics.csv."""
        del row
        if self._sender is not None and self._sender.ended:
            self._end(0.0)

    def summarise(self, summary: Mapping[str, Any]) -> None:
        """Keep the figures that describe the whole run for the last word."""
        self._summary = json.loads(json.dumps(summary, default=str))

    def finish(self, *, failed: bool) -> None:
        """Let the process send the rest, for a few seconds."""
        share = max(_LEAST_SECONDS, _SHARE * (time.monotonic() - self._started))
        # A little more than W&B's client takes for itself, so that it says what was missing.
        patience = FINISH_SECONDS + 1.0
        self._end(min(share, patience) if self.failed_before else patience, failed=failed)

    def _end(self, seconds: float, *, failed: bool = True) -> None:
        if self._sender is None:
            return
        word = json.dumps({"failed": failed, "summary": self._summary})
        self._sender.tell(word)
        ended = self._sender.wait(seconds)
        self._sender = None
        OnlineTracker.failed_before = ended.code != 0
        if ended.code is None:
            warn(self._folder, f"it did not take all in {seconds:.1f} s")
        elif ended.code != 0:
            warn(self._folder, ended.said)


def warn(folder: Path, why: str) -> None:
    """Say in one line, in train.log and on stdout, that W&B lacks rows, and how it gets them."""
    line = f"W&B lacks rows of this run ({why}); `vitladder sync {folder.parent}` sends them"
    log.warning(line)
    print(f"{folder.name}: {line}", flush=True)


def forget_service() -> None:
    """Let the next run of this process start a W&B service of its own."""
    import wandb

    try:
        wandb.teardown(exit_code=1)
    except Exception as error:
        log.info("W&B's service was gone already: %s", error)
