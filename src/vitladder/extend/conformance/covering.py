"""Covering designs: few cases in which every value, or every pair of values, occurs."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

Combination = dict[str, Any]


def covering(
    factors: Mapping[str, Sequence[Any]], strength: int, *, seed: int = 0, tries: int = 24
) -> list[Combination]:
    """Return combinations of the factors' values that cover all `strength`-tuples of values.

    Greedy: every combination is the best of some that start from a tuple not covered yet
    (Cohen et al. 1997, "The AETG system").
    """
    # Seeded, so that a design is the same in every session.
    draw = random.Random(seed)  # noqa: S311
    names = list(factors)
    groups = list(combinations(names, min(strength, len(names))))
    missing = {group: _tuples(factors, group) for group in groups}
    design: list[Combination] = []
    while any(missing.values()):
        rows = [_candidate(factors, names, missing, draw) for _ in range(tries)]
        best = max(rows, key=lambda row: _gain(row, missing))
        for group, left in missing.items():
            left.pop(tuple(repr(best[name]) for name in group), None)
        design.append(best)
    return design


def _tuples(
    factors: Mapping[str, Sequence[Any]], group: tuple[str, ...]
) -> dict[tuple[str, ...], tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = [()]
    for name in group:
        rows = [(*row, value) for row in rows for value in factors[name]]
    return {tuple(repr(value) for value in row): row for row in rows}


def _candidate(
    factors: Mapping[str, Sequence[Any]],
    names: list[str],
    missing: dict[tuple[str, ...], dict[tuple[str, ...], tuple[Any, ...]]],
    draw: random.Random,
) -> Combination:
    group = draw.choice([group for group, left in missing.items() if left])
    row = dict(zip(group, draw.choice(list(missing[group].values())), strict=True))
    for name in draw.sample(names, len(names)):
        if name not in row:
            row[name] = draw.choice(factors[name])
    return {name: row[name] for name in names}


def _gain(row: Combination, missing: Mapping[tuple[str, ...], Mapping[Any, Any]]) -> int:
    return sum(tuple(repr(row[name]) for name in group) in left for group, left in missing.items())
