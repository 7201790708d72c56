"""Runs to fit laws to: the open table, and noisy ones of a known law."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vitladder.laws.additive import Additive
from vitladder.laws.criterion import Criterion
from vitladder.laws.optimum import Problem
from vitladder.laws.table_files import read_table


def open_problem(file: Path, criterion: Criterion, drop: int = 5) -> Problem:
    table = read_table(file)
    loss = table.numbers("loss")
    kept = np.argsort(loss)[: len(loss) - drop]
    columns = np.array([table.numbers("n_params"), table.numbers("tokens")])
    return Problem(Additive(), columns[:, kept], loss[kept], criterion)


def noisy(seed: int, criterion: Criterion) -> Problem:
    rng = np.random.default_rng(seed)
    columns = np.array([10 ** rng.uniform(3.5, 6, 30), 10 ** rng.uniform(4, 6.7, 30)])
    loss = 0.3 + 60 * columns[0] ** -0.5 + 900 * columns[1] ** -0.55
    return Problem(Additive(), columns, loss * np.exp(0.01 * rng.standard_normal(30)), criterion)
