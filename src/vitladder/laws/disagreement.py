"""The approaches side by side: where their exponents of N* differ by more than chance."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import Any

APPROACHES = ("parametric", "isoflop", "envelope")


def disagreements(laws: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """Pairs of approaches whose 95 % intervals of a do not meet; None with fewer than two."""
    found = {name: law for name in APPROACHES if (law := laws.get(name)) and law["ci95"]}
    known = {name: law for name, law in found.items() if "a" in law["ci95"]}
    if len(known) < 2:
        return None
    pairs = []
    for first, other in combinations(known, 2):
        (low, high), (other_low, other_high) = (known[name]["ci95"]["a"] for name in (first, other))
        if high < other_low or other_high < low:
            pairs.append(
                {
                    "laws": [first, other],
                    "exponent": "a",
                    "values": [known[first]["a"], known[other]["a"]],
                    "ci95": [[low, high], [other_low, other_high]],
                }
            )
    return pairs
