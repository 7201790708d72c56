"""The envelope of learning curves: the least loss that any run has reached by each C.

Hoffmann et al. 2022 (arXiv:2203.15556), section 3.1, approach 1: at each of many C, the run with
the lowest loss so far gives N and D, and N* = k C^a, D* = k' C^b are fitted through them. Runs
whose learning rate has not decayed yet lie above what they could reach, so that curves cut short
favour larger models less than finished runs do.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vitladder.laws.criterion import Matrix, Vector
from vitladder.laws.isoflop import PowerLaw, fit_power_law
from vitladder.laws.law import NoLaw
from vitladder.laws.study import positive_cell
from vitladder.laws.table import Table
from vitladder.runs.metrics import read_rows

POINTS = 300  # of C, evenly in logs


@dataclass(frozen=True)
class LearningCurve:
    """One run: its size, and its loss and images by FLOPs, ascending; each [points]."""

    run: str
    n_params: float
    flops: Vector
    images: Vector
    loss: Vector


@dataclass(frozen=True)
class Envelope:
    """At each C [points]: the best run (an index into `curves`), its loss, and images by then.

    `losses` holds the least loss of every run by each C [runs, points], inf before its first.
    """

    curves: Sequence[LearningCurve]
    flops: Vector
    losses: Matrix
    images: Matrix

    def best(self, drawn: NDArray[np.bool_] | None = None) -> NDArray[np.intp]:
        """Which of the runs (all, or those drawn) is lowest at each C."""
        losses = self.losses if drawn is None else np.where(drawn[:, None], self.losses, np.inf)
        return np.asarray(losses.argmin(axis=0))

    def laws(
        self, drawn: NDArray[np.bool_] | None = None
    ) -> tuple[PowerLaw | None, PowerLaw | None]:
        """N* and D* over C along the best of the runs (all, or those drawn), where it is inner.

        The best of sizes that were not all tried is not the best size: a C counts where smaller and
        larger ones have logged by then, and where the best run's curve has not ended. None where
        fewer than two sizes are best there.
        """
        best, points = self.best(drawn), np.arange(len(self.flops))
        sizes = np.array([curve.n_params for curve in self.curves])
        ends = np.array([curve.flops[-1] for curve in self.curves])
        started = (
            np.isfinite(self.losses) if drawn is None else np.isfinite(self.losses) & drawn[:, None]
        )
        smallest = np.where(started, sizes[:, None], np.inf).min(axis=0)
        largest = np.where(started, sizes[:, None], 0.0).max(axis=0)
        inner = (smallest < sizes[best]) & (sizes[best] < largest)
        if self.has_curves:
            inner &= self.flops <= ends[best]
        if len(np.unique(sizes[best][inner])) < 2:
            return None, None
        flops, images = self.flops[inner], self.images[best, points][inner]
        return fit_power_law(flops, sizes[best][inner]), fit_power_law(flops, images)

    @property
    def has_curves(self) -> bool:
        """Whether any run was logged more than once."""
        return any(len(curve.flops) > 1 for curve in self.curves)


def learning_curves(table: Table) -> list[LearningCurve]:
    """The curves behind a table: metrics.csv of a study's runs, else rows that share a run's name.

    A run without one is a curve of one point.
    """
    flops, images, loss = (table.numbers(name) for name in ("flops", "images", "loss"))
    n_params = table.numbers("n_params")
    by_run: dict[str, list[int]] = defaultdict(list)
    for row in range(len(table)):
        by_run[table.name(row)].append(row)
    curves = []
    for run, rows in by_run.items():
        logged = _logged(table, rows[0])
        points = logged or [(flops[row], images[row], loss[row]) for row in rows]
        columns = np.array(sorted(points)).T
        curves.append(LearningCurve(run, float(n_params[rows[0]]), *columns))
    return curves


def envelope(curves: Sequence[LearningCurve]) -> Envelope:
    """The frontier of curves. Raises NoLaw where fewer than two sizes or compute are on it."""
    low = min(curve.flops[0] for curve in curves)
    high = max(curve.flops[-1] for curve in curves)
    if low >= high:
        raise NoLaw("all runs have the same compute: an envelope needs several")
    grid = np.geomspace(low, high, POINTS)
    grid[0], grid[-1] = low, high
    losses = np.array([_reached(curve, grid) for curve in curves])
    images = np.array([_seen(curve, grid) for curve in curves])
    found = Envelope(curves, grid, losses, images)
    if len({curves[run].n_params for run in found.best()}) < 2:
        raise NoLaw("one size is best at every compute: an envelope needs several")
    return found


def _reached(curve: LearningCurve, grid: Vector) -> Vector:
    """The least loss by each C, log-log between points; inf before the first."""
    least = np.minimum.accumulate(curve.loss)
    between = np.exp(np.interp(np.log(grid), np.log(curve.flops), np.log(least)))
    return np.where(grid < curve.flops[0], np.inf, between)


def _seen(curve: LearningCurve, grid: Vector) -> Vector:
    """Images by each C; all of them after the end."""
    return np.exp(np.interp(np.log(grid), np.log(curve.flops), np.log(curve.images)))


def _logged(table: Table, row: int) -> list[tuple[float, float, float]]:
    """(FLOPs, images, validation loss) of a run's metrics.csv; empty where there is none."""
    folder = table.cells["folder"][row] if "folder" in table.cells else None
    found = []
    for line in read_rows(Path(str(folder))) if folder is not None else []:
        values = [positive_cell(line.get(name, "")) for name in ("flops", "images", "val_loss")]
        flops, images, loss = values
        if flops is not None and images is not None and loss is not None:
            found.append((flops, images, loss))
    return found
