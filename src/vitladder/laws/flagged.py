"""Runs that a law does not explain: robust z-scores of the residuals after a Huber fit."""

from __future__ import annotations

import numpy as np

from vitladder.laws.criterion import Vector

FLAG = 5.0
NORMAL = 1.4826  # the standard deviation of a normal distribution over its MAD
ROUNDING = 1e-9  # residuals of exact runs are rounding, and no run is bad
LEAST_ROWS = 3  # times the parameters: with fewer runs, residuals do not tell their own size


def noise(residuals: Vector, parameters: int) -> float:
    """The standard deviation of normal noise, from residuals of a robust fit [rows].

    1.4826 times the median |residual| without the smallest: a robust fit goes nearly exactly
    through as many rows as it has parameters, which says nothing of the noise.
    """
    size = np.sort(np.abs(residuals - np.median(residuals)))
    kept = size[min(parameters, len(size) - 1) :]
    return NORMAL * float(np.median(kept))


def z_scores(residuals: Vector, parameters: int) -> Vector:
    """(residual - median) / noise [rows] (Iglewicz & Hoaglin 1993)."""
    centred = residuals - np.median(residuals)
    return np.asarray(centred / max(noise(residuals, parameters), ROUNDING))


def flagged(residuals: Vector, parameters: int) -> list[int]:
    """The rows with |z| above 5, the worst first; none where the rows are too few to tell."""
    if len(residuals) < LEAST_ROWS * parameters:
        return []
    z = np.abs(z_scores(residuals, parameters))
    return [int(row) for row in np.argsort(-z, kind="stable") if z[row] > FLAG]
