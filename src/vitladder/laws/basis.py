"""What a fit keeps for decisions: draws of the split of compute, its runs, the study's settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from vitladder.laws.answer import FittedLaw
from vitladder.laws.flagged import noise
from vitladder.laws.held_out import log_errors
from vitladder.laws.table import Table
from vitladder.runs.record import read_record

KEPT_DRAWS = 500  # enough for intervals at any C


def basis_of(law: FittedLaw | None) -> dict[str, Any] | None:
    """Draws (E, A, alpha, B, beta), the runs' N and D, their noise; None without a split of C."""
    if law is None or law.frontier is None:
        return None
    n_params, images = law.optimum.problem.columns
    residuals = log_errors(law.optimum, law.optimum.problem)
    return {
        "draws": [[float(f"{x:.9g}") for x in draw] for draw in law.frontier.draws[:KEPT_DRAWS]],
        "n_params": n_params.tolist(),
        "images": images.tolist(),
        "noise": noise(residuals, len(law.optimum.theta)),
    }


def config_of(table: Table) -> dict[str, Any] | None:
    """The config of the lowest run of a study's largest budget; None for a table of files."""
    folders = table.cells.get("folder")
    if folders is None or None in folders:
        return None
    budget, loss = table.numbers("budget"), np.array(table.numbers("loss"))
    rows = np.flatnonzero(budget == budget.max())
    record = read_record(Path(str(folders[int(rows[np.argmin(loss[rows])])])))
    return record.config if record else None
