"""One session with W&B's client: begin, or go on with, a W&B run; the client is bounded in time."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from vitladder.runs.wandb_about import FIT_JOB, About
from vitladder.runs.wandb_fit import attach_fit
from vitladder.runs.wandb_names import AXES, C, in_wandb


class Session:
    """A W&B run that is open; rows that W&B has are not sent again."""

    def __init__(self, run: Any, about: About) -> None:
        """Take the open run, with C as the x-axis of every curve."""
        self._run = run
        self._config = about.config
        # Not run.step, which is 0 until a run that goes on has logged something (wandb 0.31).
        self.next_step = int(run.starting_step)
        if about.job_type != FIT_JOB:
            for axis in AXES:
                run.define_metric(axis, hidden=True)
            run.define_metric("*", step_metric=C)

    def log(self, row: Mapping[str, Any]) -> None:
        """Send one row of metrics.csv, once: a resumed run repeats some that W&B has."""
        step = int(row["step"])
        if step >= self.next_step:
            self._run.log(in_wandb(row, self._config), step=step, commit=True)
            self.next_step = step + 1

    def log_cells(self, rows: Iterable[Mapping[str, str]]) -> None:
        """Send rows as they stand in metrics.csv."""
        for row in rows:
            self.log({key: _number(text) for key, text in row.items() if text})

    def summarise(self, summary: Mapping[str, Any]) -> None:
        """Send the figures that describe the whole run."""
        self._run.summary.update(summary)

    def attach_fit(self, study: Path) -> None:
        """Send the tables, figures and files of a study's fit."""
        attach_fit(self._run, study)

    def has(self, summary: Mapping[str, Any]) -> bool:
        """Whether W&B knows these figures of the run."""
        kept = self._run.summary
        return all(_same(kept.get(key), value) for key, value in summary.items())

    def finish(self, *, failed: bool) -> None:
        """End it; a failed one is marked there. Raises TimeoutError where W&B takes too long."""
        self._run.finish(exit_code=1 if failed else 0)


def _same(kept: Any, value: Any) -> bool:
    """Whether W&B has a figure; what is no finite number or text it may write in its own way."""
    if isinstance(value, float) and math.isfinite(value):
        return isinstance(kept, int | float) and math.isclose(kept, value, rel_tol=1e-9)
    return kept is not None and (not isinstance(value, int | str) or kept == value)


def _number(text: str) -> int | float:
    try:
        return int(text)
    except ValueError:
        return float(text)


def open_session(
    about: About,
    wandb_id: str,
    *,
    mode: Literal["online", "offline"],
    files: Path,
    connect_seconds: float,
    finish_seconds: float,
) -> Session:
    """Begin a W&B run, or go on with it; W&B's own files lie in `files`."""
    import wandb

    # For the process: offline, W&B's client would report its own timings to the service otherwise.
    wandb.setup(wandb.Settings(mode=mode, silent=True))
    told = {key: value for key, value in asdict(about).items() if key != "summary"}
    run = wandb.init(
        **told,
        id=wandb_id,
        mode=mode,
        dir=files.absolute(),
        resume="allow",
        settings=wandb.Settings(
            silent=True,
            console="off",
            disable_git=True,
            disable_code=True,
            disable_job_creation=True,
            x_disable_stats=True,
            x_disable_meta=True,
            init_timeout=connect_seconds,
            finish_timeout=finish_seconds,
            finish_timeout_raises=True,
        ),
    )
    return Session(run, about)
