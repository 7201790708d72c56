"""Runs in order of compute: the budgets that they fall into, and steps of whole budgets."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from vitladder.laws.criterion import Vector

WIDEST_GAP = 0.10  # compute within 10 % of the next run's may be one budget
EXACT_GAP = 0.01
BUDGET_SPAN = 1.25  # a budget's runs lie within this factor
NARROWER = 0.7
LEAST_SHARE = 0.05  # of all rows that a step has


def budget_of(flops: Vector) -> NDArray[np.intp]:
    """Which budget each run belongs to [runs], budgets ascending.

    Runs are one budget while the next one's compute is near. Where that chains runs over more than
    a factor of 1.25, as in data read off a figure, nearer ones are asked for, down to 1 %.
    """
    order = np.argsort(flops, kind="stable")
    label = np.empty(len(flops), dtype=np.intp)
    for number, piece in enumerate(_pieces(np.log(flops[order]), WIDEST_GAP)):
        label[order[piece]] = number
    return label


def _pieces(logs: Vector, gap: float) -> list[slice]:
    """Slices of ascending logs at gaps, finer where a piece spans too much."""
    cuts = np.flatnonzero(np.diff(logs) > np.log1p(gap)) + 1
    ends = [0, *(int(cut) for cut in cuts), len(logs)]
    found: list[slice] = []
    for first, end in pairwise(ends):
        finer = gap * NARROWER
        if logs[end - 1] - logs[first] > np.log(BUDGET_SPAN) and finer >= EXACT_GAP:
            inner = _pieces(logs[first:end], finer)
            found += [slice(first + piece.start, first + piece.stop) for piece in inner]
        else:
            found.append(slice(first, end))
    return found


def steps(compute: Vector) -> list[NDArray[np.intp]]:
    """The rows of each step up in compute, ascending: budgets, joined while they are small.

    A step is whole budgets, from the largest down, with at least a twentieth of all rows; what is
    left at the bottom joins the lowest.
    """
    label = budget_of(compute)
    least = int(np.ceil(len(compute) * LEAST_SHARE))
    found: list[list[int]] = [[]]
    for number in range(int(label.max()), -1, -1):
        if len(found[-1]) >= least:
            found.append([])
        found[-1] += np.flatnonzero(label == number).tolist()
    if len(found) > 1 and len(found[-1]) < least:
        found[-2] += found.pop()
    return [np.sort(np.array(rows, dtype=np.intp)) for rows in reversed(found)]
