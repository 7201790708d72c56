"""Colours along a log scale: few values each have their own, many share those of eight ranges."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from vitladder.report.style import RAMP


@dataclass(frozen=True)
class Shades:
    """What the colours are called, small to large, and which name a value has."""

    names: tuple[str, ...]
    bounds: tuple[float, ...]  # the largest value of each name but the last

    def __call__(self, value: float) -> str:
        """The name of a value's colour, which the legend shows."""
        return self.names[sum(value > bound for bound in self.bounds)]

    def scale(self) -> dict[str, Any]:
        """Vega-Lite's scale of these names."""
        return {"domain": list(self.names), "range": colours(len(self.names))}


def shades(values: Sequence[float], name: Callable[[float], str]) -> Shades:
    """The colours of positive values: one for each different name, or eight ranges of them."""
    ordered = sorted(values)
    names = list(dict.fromkeys(name(value) for value in ordered))
    if len(names) <= len(RAMP):
        last = {name(value): value for value in ordered}
        return Shades(tuple(names), tuple(last[one] for one in names[:-1]))
    edges = _edges(ordered[0], ordered[-1])
    bins = [[v for v in ordered if a < v <= b] for a, b in pairwise(edges)]
    filled = [one for one in bins if one]
    return Shades(tuple(_range(one, name) for one in filled), tuple(one[-1] for one in filled[:-1]))


def colours(count: int) -> list[str]:
    """So many of the ramp's colours, as far apart as they can be."""
    if count == 1:
        return [RAMP[3]]
    return [RAMP[round(k * (len(RAMP) - 1) / (count - 1))] for k in range(count)]


def _edges(low: float, high: float) -> list[float]:
    steps = len(RAMP)
    inner = [low * (high / low) ** (k / steps) for k in range(1, steps)]
    return [0.0, *inner, math.inf]


def _range(values: Sequence[float], name: Callable[[float], str]) -> str:
    low, high = name(values[0]), name(values[-1])
    return low if low == high else f"{low} – {high}"
