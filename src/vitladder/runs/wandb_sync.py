"""`vitladder sync`: send a study's runs to W&B from what their folders say, each row once."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from vitladder.errors import UserError
from vitladder.runs.wandb_about import is_sent, runs_for_wandb, to_send
from vitladder.runs.wandb_process import BUSY, Sender

_MODULE = "vitladder.runs.wandb_upload"


@dataclass(frozen=True)
class Synced:
    """How many runs were uploaded now and before, and how many another process is sending."""

    now: int = 0
    before: int = 0
    sending: int = 0


def sync(study: Path, *, timeout: float = 300.0) -> Synced:
    """Upload what W&B lacks of a study's runs, and of its fit.

    A run that has changed since W&B confirmed it is sent again from where W&B stands. Raises
    UserError where the folder has no run for W&B, where W&B refuses, and where one run takes longer
    than `timeout` seconds.
    """
    ours = [(folder, to_send(folder, about)) for folder, about in runs_for_wandb(study)]
    waiting = [folder for folder, sent in ours if not is_sent(folder, sent)]
    now = sum(_uploaded(folder, timeout) for folder in waiting)
    return Synced(now, before=len(ours) - len(waiting), sending=len(waiting) - now)


def _uploaded(folder: Path, timeout: float) -> bool:
    """Upload one run; False where another process is sending it, as its training does."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as files:
        sender = Sender(_MODULE, folder, Path(files))
        ended = sender.wait(timeout)
    if ended.code is None:
        raise _not_taken(folder, f"it took more than {timeout:g} s; is its server there?")
    if ended.code not in (0, BUSY):
        raise _not_taken(folder, ended.said)
    return ended.code == 0


def _not_taken(folder: Path, why: str) -> UserError:
    return UserError(
        f"W&B did not take {folder.name} ({why}); the same command goes on with what is left"
    )
