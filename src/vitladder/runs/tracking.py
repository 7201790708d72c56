"""Weights & Biases: offline by default, one W&B run for one of ours, in the study's group."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from vitladder.config import Config, LoggerConfig
from vitladder.runs.wandb_about import FIT_JOB, About, about_run
from vitladder.runs.wandb_training import OfflineTracker, OnlineTracker

log = logging.getLogger(__name__)


class Tracker(Protocol):
    """Where a run's metrics go besides its own folder; none of it raises what W&B's client does."""

    def start(self) -> None:
        """Begin; `finish` must follow, whatever happens."""

    def log(self, row: Mapping[str, Any]) -> None:
        """Send one row, which metrics.csv has already."""

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


def make_tracker(config: Config, plan: Mapping[str, Any], folder: Path, command: str) -> Tracker:
    """Return the tracker that the config asks for, of the run whose folder this is."""
    about = about_run(asdict(config), plan, folder.absolute().name, command)
    return _tracker(config.logger.name, folder, about)


def _tracker(name: str, folder: Path, about: About) -> Tracker:
    if name == "csv":
        return NoTracker()
    return OfflineTracker(folder, about) if name == "wandb" else OnlineTracker(folder, about)


def track_fit(folder: Path, study: str, logger: LoggerConfig, summary: Mapping[str, Any]) -> None:
    """Log a study's fit as a run of job type "fit" in the study's group; its files in `folder`.

    Every fit of a study goes on with one W&B run, whose summary is the last one.
    """
    folder.mkdir(exist_ok=True)
    about = About(
        project=logger.project,
        entity=logger.entity,
        group=study,
        job_type=FIT_JOB,
        name=f"{study} fit",
        config={},
        summary=dict(summary),
    )
    tracker = _tracker(logger.name, folder, about)
    tracker.start()
    tracker.summarise(summary)
    tracker.finish(failed=False)
