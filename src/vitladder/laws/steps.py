"""Runs in order of compute: the budgets that they fall into, or equal parts where they do not."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from vitladder.laws.criterion import Vector

WIDEST_GAP = 0.10  # compute within 10 % of the next run's may be one budget
EXACT_GAP = 0.01
BUDGET_SPAN = 1.5  # a budget's runs lie within this factor
NARROWER = 0.7
MANY = 12  # more groups than this are no budgets but a spread of compute, which is cut in parts
PARTS = 8


def budget_of(flops: Vector) -> NDArray[np.intp]:
    """Which budget each run belongs to [runs], budgets ascending.

    Runs are one budget while the next one's compute is near. Where that chains runs over more than
    a factor of 1.5, as in data read off a figure, nearer ones are asked for, down to 1 %.
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
    """The rows of each step up in compute, ascending: budgets, or eighths of a wide spread."""
    label = budget_of(compute)
    count = int(label.max()) + 1
    if count <= MANY:
        return [np.flatnonzero(label == number) for number in range(count)]
    order = np.argsort(compute, kind="stable")
    return [np.sort(part) for part in np.array_split(order, PARTS)]
