"""Tables of runs of a known law, for `vitladder fit`."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

LAW = {"E": 0.3, "A": 60.0, "B": 900.0, "alpha": 0.5, "beta": 0.55}
HEAD = ("run", "n_params", "images", "flops", "loss")
Fit = Callable[..., dict[str, Any]]


def loss_of(n_params: np.ndarray, images: np.ndarray) -> np.ndarray:
    return LAW["E"] + LAW["A"] * n_params ** -LAW["alpha"] + LAW["B"] * images ** -LAW["beta"]


def isoflop_rows(noise: float = 0.0, spread: Sequence[float] = (0.25, 0.5, 1, 2, 4)) -> list[list]:
    """Four budgets of six sizes around the optimum of LAW with C = 6 N D."""
    rng, rows = np.random.default_rng(0), []
    for budget in (1e10, 3e10, 1e11, 3e11):
        best = 0.95 * (budget / 6) ** 0.5238 * (60 * 0.5 / (900 * 0.55)) ** (1 / 1.05)
        for size in best * np.array(spread):
            images = budget / (6 * size)
            loss = loss_of(size, images) * np.exp(noise * rng.standard_normal())
            rows.append([f"r{len(rows)}", size, images, budget, loss])
    return rows


def write(rows: Sequence[Sequence[Any]], head: Sequence[str] = HEAD, name: str = "runs.csv") -> str:
    with Path(name).open("w", newline="") as file:
        csv.writer(file).writerows([head, *rows])
    return name


def named(law: dict[str, Any]) -> dict[str, float]:
    return {name: law["params"][name] for name in LAW}
