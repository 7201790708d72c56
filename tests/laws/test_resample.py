"""Intervals: every resample at its optimum, standard errors as published, and honest coverage."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sample_laws import noisy, open_problem
from scipy.optimize import least_squares

from vitladder.laws.additive import Additive
from vitladder.laws.criterion import Criterion
from vitladder.laws.forms import split
from vitladder.laws.frontier import frontier_of
from vitladder.laws.optimum import Problem, exact_totals, fit_law
from vitladder.laws.resample import interval, pair_weights, resample, spread

PUBLISHED_SE = {"E": 0.0257, "A": 124.5, "B": 1293, "alpha": 0.0154, "beta": 0.0206}
STUDIES = 60
LAW = {"E": 0.3, "A": 60.0, "alpha": 0.5, "B": 900.0, "beta": 0.55}
FLOPS = 1e12  # where N*, D* and the loss are asked for
K = 96.0


def test_the_open_tables_standard_errors(chinchilla_csv: Path) -> None:
    optimum = fit_law(open_problem(chinchilla_csv, Criterion()))
    draws = resample(optimum, 4000, seed=0)
    assert len(draws.theta) == 4000
    found = {name: spread(values) for name, values in draws.named().items()}
    for name, published in PUBLISHED_SE.items():
        assert found[name] == pytest.approx(published, rel=0.08), name


@pytest.mark.parametrize("seed", [0, 1])
def test_no_resample_is_above_what_least_squares_finds(chinchilla_csv: Path, seed: int) -> None:
    optimum = fit_law(open_problem(chinchilla_csv, Criterion()))
    problem = optimum.problem
    weights = pair_weights(len(problem.target), 25, seed)
    draws = resample(optimum, 25, seed)
    mine = exact_totals(problem, problem.rows(weights), draws.theta)
    for draw in range(25):
        rows = np.repeat(np.arange(len(problem.target)), weights[draw].astype(int))
        drawn = Problem(problem.law, problem.columns[:, rows], problem.target[rows], Criterion())
        model, logs = problem.law.model(problem.logs(drawn.columns)), np.log(drawn.target)
        slow = least_squares(
            lambda theta, model=model, logs=logs: logs - model.log_prediction(theta[None])[0],
            optimum.theta,
            loss="huber",
            f_scale=1e-3,
            xtol=1e-12,
            ftol=1e-12,
            gtol=1e-12,
        )
        other = exact_totals(problem, problem.rows(weights[[draw]]), slow.x[None])[0]
        assert mine[draw] <= other * (1 + 1e-9)


def test_resamples_start_anywhere_and_end_at_the_same_optimum() -> None:
    optimum = fit_law(noisy(5, Criterion()))
    weights = pair_weights(30, 12, seed=3)
    draws = resample(optimum, 12, seed=3)
    for draw in range(12):
        rows = np.repeat(np.arange(30), weights[draw].astype(int))
        problem = optimum.problem
        drawn = Problem(problem.law, problem.columns[:, rows], problem.target[rows], Criterion())
        assert draws.natural[draw] == pytest.approx(fit_law(drawn).natural, rel=1e-5)


def test_draws_are_rows_with_replacement() -> None:
    weights = pair_weights(20, 500, seed=0)
    assert (weights.sum(axis=1) == 20).all()
    assert weights.mean() == pytest.approx(1.0)
    assert weights.var() == pytest.approx(1 - 1 / 20, rel=0.05)


def test_draws_in_blocks_are_the_same_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = pair_weights(20, 50, seed=4)
    optimum = fit_law(noisy(5, Criterion()))
    together = resample(optimum, 30, seed=4).theta
    monkeypatch.setattr("vitladder.laws.resample.BLOCK", 7 * 30)
    assert (pair_weights(20, 50, seed=4) == whole).all()
    assert resample(optimum, 30, seed=4).theta == pytest.approx(together, rel=1e-6)


def test_the_same_seed_gives_the_same_draws() -> None:
    optimum = fit_law(noisy(5, Criterion()))
    first, second, other = (resample(optimum, 40, seed).theta for seed in (1, 1, 2))
    assert (first == second).all()
    assert not np.array_equal(first, other)


def test_spread_and_interval_are_those_of_the_draws() -> None:
    assert spread(np.array([1.0, 2.0, 3.0])) == pytest.approx(1.0)
    assert interval(np.arange(1001.0)) == pytest.approx([25, 975])


def test_without_draws_there_is_a_reason() -> None:
    draws = resample(fit_law(noisy(5, Criterion())), 0, seed=0)
    assert not draws.enough
    assert draws.why_none == "0 draws were asked for: an interval needs at least 20"
    assert not resample(fit_law(noisy(5, Criterion())), 19, seed=0).enough


def study(seed: int) -> Problem:
    """Twenty runs of a known law at four budgets, with 0.5 % noise."""
    rng = np.random.default_rng([7, seed])
    budgets = np.repeat([1e10, 3e10, 1e11, 3e11], 5)
    sizes = 300 * (budgets / 1e10) ** 0.52 * np.tile([0.25, 0.5, 1, 2, 4], 4) * 10
    columns = np.array([sizes, budgets / (K * sizes)])
    loss = LAW["E"] + LAW["A"] * columns[0] ** -0.5 + LAW["B"] * columns[1] ** -0.55
    return Problem(Additive(), columns, loss * np.exp(0.005 * rng.standard_normal(20)), Criterion())


@pytest.mark.slow
def test_nominal_95_percent_intervals_cover() -> None:
    """Of the parameters, of N* and D* at a C beyond the runs, and of the loss there."""
    law = np.array([list(LAW.values())])
    optimal = (float(x[0]) for x in split(law, FLOPS, K))
    truth = dict(LAW) | dict(zip(("n_params", "images", "loss"), optimal, strict=True))
    held = dict.fromkeys(truth, 0)
    for seed in range(STUDIES):
        problem = study(seed)
        optimum = fit_law(problem)
        draws = resample(optimum, 200, seed)
        found = {name: interval(values) for name, values in draws.named().items()}
        flops = K * problem.columns[0] * problem.columns[1]
        found |= frontier_of(flops, optimum, draws).at(FLOPS)["ci95"]
        for name, (low, high) in found.items():
            held[name] += low <= truth[name] <= high
    coverage = {name: count / STUDIES for name, count in held.items()}
    assert all(0.88 <= share <= 1 for share in coverage.values()), coverage
