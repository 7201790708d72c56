"""Runs that a law does not explain: robust z-scores of the residuals after a robust fit."""

from __future__ import annotations

import numpy as np

from vitladder.laws.criterion import Vector

FLAG = 5.0
NORMAL = 1.4826  # the standard deviation of a normal distribution over its MAD
ROUNDING = 1e-9  # residuals of exact runs are rounding, and no run is bad


def z_scores(residuals: Vector) -> Vector:
    """(residual - median) / (1.4826 MAD) [rows] (Iglewicz & Hoaglin 1993)."""
    centred = residuals - np.median(residuals)
    return np.asarray(centred / max(NORMAL * float(np.median(np.abs(centred))), ROUNDING))


def flagged(residuals: Vector) -> list[int]:
    """The rows with |z| above 5, the worst first."""
    z = np.abs(z_scores(residuals))
    return [int(row) for row in np.argsort(-z, kind="stable") if z[row] > FLAG]
