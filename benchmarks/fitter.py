"""Speed of the law fitter against the usual ways, on one thread and in one process.

    python benchmarks/fitter.py PATH_OF/chinchilla_epoch.csv

The open table of Besiroglu et al. 2024 without its five highest losses: 240 runs, Huber's loss with
delta 1e-3 of log residuals. The slow ways refit some of the resamples, from the same start; each
resample's objective is compared.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before numpy is loaded

import sys
import time
from collections.abc import Callable
from pathlib import Path

import autograd.numpy as anp
import numpy as np
from autograd import grad
from scipy.optimize import least_squares, minimize

from vitladder.laws.additive import Additive
from vitladder.laws.criterion import DELTA, Criterion, Vector
from vitladder.laws.optimum import Optimum, Problem, exact_totals, fit_law
from vitladder.laws.resample import pair_weights, resample
from vitladder.laws.table_files import read_table

DRAWS = 4000
SLOW_DRAWS = 60
ROUNDS = 5
Refit = Callable[[Vector, Vector, Vector, Vector], Vector]  # log N, log D, log loss, start


def main(file: Path) -> None:
    """Print a table: seconds for a fit, for 4000 refits, and the others as ratios."""
    problem = open_problem(file)
    fit_law(problem)
    point = min(_seconds(lambda: fit_law(problem)) for _ in range(ROUNDS))
    optimum = fit_law(problem)
    ours = min(_seconds(lambda: resample(optimum, DRAWS, 0)) for _ in range(ROUNDS))
    print(f"| way | seconds for {DRAWS} refits | ratio to ours | above our objective |")
    print("|---|---|---|---|")
    print(f"| ours, batched | {ours:.2f} | 1 | |")
    for name, refit in (("least_squares", _least_squares), ("BFGS, autograd", _bfgs)):
        seconds, above = compare(optimum, refit)
        print(
            f"| {name}, a loop | {seconds * DRAWS:.0f} | {seconds * DRAWS / ours:.0f} | "
            f"{above[0]:.1e} to {above[1]:.1e} |"
        )
    print(f"\nPoint fit with its starts: {1000 * point:.0f} ms.")


def open_problem(file: Path) -> Problem:
    """The 240 rows."""
    table = read_table(file)
    loss = table.numbers("loss")
    kept = np.argsort(loss)[:-5]
    columns = np.array([table.numbers("n_params"), table.numbers("tokens")])
    return Problem(Additive(), columns[:, kept], loss[kept], Criterion())


def compare(optimum: Optimum, refit: Refit) -> tuple[float, tuple[float, float]]:
    """Seconds a refit; the least and the most that its objective lies above ours, relatively."""
    problem = optimum.problem
    weights = pair_weights(len(problem.target), SLOW_DRAWS, seed=0)
    ours = exact_totals(problem, problem.rows(weights), resample(optimum, SLOW_DRAWS, 0).theta)
    u, v = problem.logs(problem.columns)
    log_loss = np.log(problem.target)
    start, seconds, found = optimum.theta, 0.0, []
    for draw in range(SLOW_DRAWS):
        rows = np.repeat(np.arange(len(u)), weights[draw].astype(int))
        drawn = u[rows], v[rows], log_loss[rows]
        began = time.perf_counter()
        theta = refit(*drawn, start)
        seconds += time.perf_counter() - began
        found.append(exact_totals(problem, problem.rows(weights[[draw]]), theta[None])[0])
    above = np.array(found) / ours - 1
    return seconds / SLOW_DRAWS, (float(above.min()), float(above.max()))


def _bfgs(u: Vector, v: Vector, log_loss: Vector, start: Vector) -> Vector:
    """As the replication of Chinchilla fits it."""

    def objective(theta: Vector) -> float:
        logs = anp.stack([theta[0] + 0 * u, theta[1] - theta[2] * u, theta[3] - theta[4] * v])
        top = anp.max(logs, axis=0)
        residuals = log_loss - top - anp.log(anp.sum(anp.exp(logs - top), axis=0))
        size = anp.abs(residuals)
        rows = anp.where(size <= DELTA, 0.5 * residuals**2, DELTA * (size - 0.5 * DELTA))
        return anp.sum(rows)

    return np.asarray(minimize(objective, start, jac=grad(objective), method="BFGS").x)


def _least_squares(u: Vector, v: Vector, log_loss: Vector, start: Vector) -> Vector:
    """scipy's robust least squares, with the exact Jacobian."""

    def shares(theta: Vector) -> tuple[Vector, Vector]:
        logs = np.stack(
            [np.full_like(u, theta[0]), theta[1] - theta[2] * u, theta[3] - theta[4] * v]
        )
        top = logs.max(axis=0)
        terms = np.exp(logs - top)
        total = terms.sum(axis=0)
        return top + np.log(total), terms / total

    def slopes(theta: Vector) -> Vector:
        e, a, b = shares(theta)[1]
        return -np.stack([e, a, -u * a, b, -v * b], axis=1)

    return np.asarray(
        least_squares(
            lambda theta: log_loss - shares(theta)[0],
            start,
            jac=slopes,
            loss="huber",
            f_scale=DELTA,
        ).x
    )


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


if __name__ == "__main__":
    main(Path(sys.argv[1]))
