"""Weights & Biases: offline by default, one W&B run for one of ours, in the study's group."""

from __future__ import annotations

import logging
import subprocess
import sys
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from vitladder.config import Config, LoggerConfig, flatten
from vitladder.errors import UserError
from vitladder.runs.atomic import write_text

log = logging.getLogger(__name__)

_ID_FILE = ".wandb-id"


class Tracker(Protocol):
    """Where a run's metrics go besides its own folder."""

    def start(self) -> None:
        """Begin; `finish` must follow, whatever happens."""

    def log(self, row: Mapping[str, Any]) -> None:
        """Send one row of metrics.csv."""

    def summarise(self, summary: Mapping[str, Any]) -> None:
        """Send the figures that describe the whole run."""

    def finish(self, *, failed: bool) -> None:
        """End."""


class NoTracker:
    """logger=csv: metrics.csv is all there is."""

    def start(self) -> None:
        """Start nothing."""

    def log(self, row: Mapping[str, Any]) -> None:
        """Send nothing."""

    def summarise(self, summary: Mapping[str, Any]) -> None:
        """Send nothing."""

    def finish(self, *, failed: bool) -> None:
        """Finish nothing."""


class WandbTracker:
    """logger=wandb and wandb_online."""

    def __init__(self, config: Config, plan: Mapping[str, Any], run_key: str, folder: Path) -> None:
        """Remember what to send."""
        self._config = config
        self._plan = plan
        self._run_key = run_key
        self._folder = folder

    def start(self) -> None:
        """Start the W&B run, or go on with it, with C and D as possible x-axes."""
        try:
            self._run = self._init(_wandb_id(self._folder))
        except Exception as error:
            # W&B's service may still hold the id for a session that was killed a moment ago.
            log.warning("W&B does not go on with its run (%s); this session is a new one", error)
            self._run = self._init(_new_wandb_id(self._folder))
        # Asked once: every answer is a round trip to W&B's service.
        self._next_step = self._run.step
        for axis in ("step", "images", "flops"):
            self._run.define_metric(axis, hidden=True)
        self._run.define_metric("*", step_metric="flops")

    def _init(self, wandb_id: str) -> Any:
        config = {**flatten(self._config), **{f"plan.{k}": v for k, v in self._plan.items()}}
        return start_run(
            self._folder,
            self._config.logger,
            group=self._config.study,
            job_type="train",
            id=wandb_id,
            name=self._run_key,
            config=config,
        )

    def log(self, row: Mapping[str, Any]) -> None:
        """Send one row of metrics.csv, once: a resumed run repeats some that W&B has."""
        step = int(row["step"])
        if step >= self._next_step:
            self._run.log(_known(row), step=step, commit=True)

    def summarise(self, summary: Mapping[str, Any]) -> None:
        """Send C, N, D, loss and the rest, for W&B's scatter panels and sweeps."""
        self._run.summary.update(_known(summary))

    def finish(self, *, failed: bool) -> None:
        """Finish the W&B run; a failed one is marked there."""
        self._run.finish(exit_code=1 if failed else 0)


def start_run(folder: Path, logger: LoggerConfig, **about: Any) -> Any:
    """A W&B run whose files lie in `folder`; `about` is what W&B is told of it."""
    import wandb

    offline = logger.name == "wandb"
    if offline:
        # For the process: W&B's client would report its own timings to the service otherwise.
        wandb.setup(wandb.Settings(mode="offline"))
    return wandb.init(
        mode="offline" if offline else "online",
        dir=folder.absolute(),
        project=logger.project,
        entity=logger.entity,
        resume="allow",
        settings=wandb.Settings(
            silent=True,
            console="off",
            disable_git=True,
            disable_code=True,
            disable_job_creation=True,
            x_disable_stats=True,
            x_disable_meta=True,
        ),
        **about,
    )


def track_fit(folder: Path, study: str, logger: LoggerConfig, summary: Mapping[str, Any]) -> None:
    """Log a study's fit as a run of job type "fit" in the study's group; its files in `folder`.

    Every fit of a study goes on with one W&B run, whose summary is the last one.
    """
    folder.mkdir(exist_ok=True)
    about = {"group": study, "job_type": "fit", "name": f"{study} fit", "id": _wandb_id(folder)}
    run = start_run(folder, logger, **about)
    run.summary.update(dict(summary))
    run.finish(exit_code=0)


def _known(row: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if value is not None}


def make_tracker(config: Config, plan: Mapping[str, Any], run_key: str, folder: Path) -> Tracker:
    """Return the tracker that the config asks for."""
    if config.logger.name == "csv":
        return NoTracker()
    return WandbTracker(config, plan, run_key, folder)


def _wandb_id(folder: Path) -> str:
    """Return the W&B id of a run's folder, the same for all its sessions.

    It is drawn, not made of the run_key: W&B refuses one id in two places at once, and the same run
    may be trained in two studies or on two machines.
    """
    file = folder / _ID_FILE
    return file.read_text(encoding="utf-8") if file.exists() else _new_wandb_id(folder)


def _new_wandb_id(folder: Path) -> str:
    drawn = uuid.uuid4().hex[:16]
    write_text(folder / _ID_FILE, drawn)
    return drawn


@dataclass(frozen=True)
class Synced:
    """How many W&B runs were uploaded now, and how many had been before."""

    now: int
    before: int


def sync(study: Path, *, timeout: float = 300.0) -> Synced:
    """Upload the offline W&B runs of a study with W&B's own command.

    The sessions of one run go to one W&B run, in order. Raises UserError where the folder has
    none, where W&B refuses, and where one session takes longer than `timeout` seconds.
    """
    offline = sorted(study.glob("*/wandb/offline-run-*"))
    if not offline:
        raise UserError(f"{study} has no offline W&B run; train with logger=wandb first")
    waiting = [session for session in offline if not _is_synced(session)]
    for session in waiting:
        _upload(session, timeout)
    runs, now = ({session.parents[1] for session in some} for some in (offline, waiting))
    return Synced(now=len(now), before=len(runs - now))


def _is_synced(session: Path) -> bool:
    """Whether W&B has marked an offline session as uploaded."""
    return any(session.glob("*.wandb.synced"))


def _upload(session: Path, timeout: float) -> None:
    try:
        done = subprocess.run(  # noqa: S603  # our own folders, no shell
            [sys.executable, "-m", "wandb", "sync", str(session)],
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
        )
    except subprocess.TimeoutExpired as error:
        raise UserError(
            f"W&B did not take {session.name} within {timeout:g} s; is its server there? "
            f"The same command goes on with what is left"
        ) from error
    # W&B's command also exits with 0 where it could not log in.
    if done.returncode != 0 or not _is_synced(session):
        last = " ".join(done.stdout.strip().splitlines()[-1:])
        raise UserError(f"W&B did not take {session.name}: {last}")
