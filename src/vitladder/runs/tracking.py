"""Weights & Biases: offline by default, one W&B run for one of ours, in the study's group."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from vitladder.config import Config, flatten
from vitladder.errors import UserError


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
        """Start the W&B run with C and D as possible x-axes."""
        import wandb

        offline = self._config.logger.name == "wandb"
        self._run = wandb.init(
            mode="offline" if offline else "online",
            dir=self._folder,
            project=self._config.logger.project,
            entity=self._config.logger.entity,
            group=self._config.study,
            job_type="train",
            name=self._run_key,
            config={**flatten(self._config), **{f"plan.{k}": v for k, v in self._plan.items()}},
            settings=wandb.Settings(
                silent=True,
                console="off",
                disable_git=True,
                disable_code=True,
                disable_job_creation=True,
                x_disable_stats=True,
                x_disable_meta=True,
            ),
        )
        for axis in ("step", "images", "flops"):
            self._run.define_metric(axis, hidden=True)
        self._run.define_metric("*", step_metric="flops")

    def log(self, row: Mapping[str, Any]) -> None:
        """Send one row of metrics.csv."""
        self._run.log(_known(row))

    def summarise(self, summary: Mapping[str, Any]) -> None:
        """Send C, N, D, loss and the rest, for W&B's scatter panels and sweeps."""
        self._run.summary.update(_known(summary))

    def finish(self, *, failed: bool) -> None:
        """Finish the W&B run; a failed one is marked there."""
        self._run.finish(exit_code=1 if failed else 0)


def _known(row: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if value is not None}


def make_tracker(config: Config, plan: Mapping[str, Any], run_key: str, folder: Path) -> Tracker:
    """Return the tracker that the config asks for."""
    if config.logger.name == "csv":
        return NoTracker()
    return WandbTracker(config, plan, run_key, folder)


def sync(study: Path) -> int:
    """Upload the offline W&B runs of a study with W&B's own command; return how many there were.

    Runs that W&B has marked as synced are left out by it. Raises UserError where the folder has
    none, or where W&B refuses.
    """
    offline = sorted(study.glob("*/wandb/offline-run-*"))
    if not offline:
        raise UserError(f"{study} has no offline W&B run; train with logger=wandb first")
    for folder in offline:
        done = subprocess.run(  # noqa: S603  # our own folders, no shell
            [sys.executable, "-m", "wandb", "sync", str(folder)],
            check=False,
            capture_output=True,
            text=True,
            env=dict(os.environ),
        )
        if done.returncode != 0:
            last = (done.stderr or done.stdout).strip().splitlines()[-1:]
            raise UserError(f"W&B did not take {folder.name}: {' '.join(last)}")
    return len(offline)
