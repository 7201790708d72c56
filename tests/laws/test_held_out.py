"""Predicting what was not seen: the largest budget, rolling origins, and runs off the law."""

from __future__ import annotations

import numpy as np
import pytest

from vitladder.laws.additive import Additive
from vitladder.laws.criterion import Criterion
from vitladder.laws.flagged import flagged, z_scores
from vitladder.laws.held_out import (
    Entrant,
    aicc,
    error,
    largest_step,
    log_errors,
    tournament,
    without,
)
from vitladder.laws.law import Law, NoLaw
from vitladder.laws.optimum import Problem, fit_law
from vitladder.laws.power import M1, M2

X = np.geomspace(1e8, 1e12, 12)


def problem(law: Law, loss: np.ndarray, x: np.ndarray = X) -> Problem:
    return Problem(law, x[None], loss, Criterion())


def test_the_largest_budget_is_held_out_and_predicted() -> None:
    loss = 30 * X**-0.2 + 0.3
    loss[-1] *= 1.1
    step = largest_step(problem(M2(), loss), X)
    assert step.tolist() == [11]
    fitted = fit_law(without(problem(M2(), loss), step))
    aim = Problem(M2(), X[None, step], loss[step], Criterion())
    found = error(fitted, aim, ["last"])
    assert found["bias"] == pytest.approx(np.log(1.1), rel=1e-6)
    assert found["log_rmse"] == pytest.approx(np.log(1.1), rel=1e-6)
    assert found["rows"] == 1
    assert found["predicted"]["last"] == pytest.approx(loss[-1] / 1.1, rel=1e-6)


def test_one_budget_leaves_nothing_to_fit() -> None:
    with pytest.raises(NoLaw, match="one budget"):
        largest_step(problem(M1(), X), np.full(12, 1e9))


def entrants(loss: np.ndarray) -> list[Entrant]:
    rows = np.arange(12)
    return [Entrant(fit_law(problem(law, loss)), rows) for law in (M1(), M2())]


def test_the_law_that_the_runs_follow_wins() -> None:
    noise = np.exp(0.002 * np.random.default_rng(0).standard_normal(12))
    table = tournament(entrants((30 * X**-0.2 + 0.5) * noise), X, np.arange(12))
    assert [row["law"] for row in table] == ["m2", "m1"]
    assert table[0]["held_out_log_rmse"] < 0.02 < table[1]["held_out_log_rmse"]
    assert table[0]["aicc"] < table[1]["aicc"]


def test_rolling_origins_see_only_what_lies_before() -> None:
    """The last of three origins alone knows the run that was spoilt."""
    loss = 30 * X**-0.2
    spoilt = loss.copy()
    spoilt[-1] *= 2
    row = tournament(entrants(spoilt)[:1], X, np.arange(12))[0]
    assert row["held_out_log_rmse"] == pytest.approx(np.log(2) / np.sqrt(3), rel=1e-6)


def test_a_law_without_an_origin_comes_last() -> None:
    few = X[:6]
    loss = 30 * few**-0.2 + 0.5
    rows = np.arange(6)
    laws = [Entrant(fit_law(problem(law, loss, few)), rows) for law in (M2(), M1())]
    table = tournament(laws, few, rows)
    assert [row["law"] for row in table] == ["m1", "m2"]
    assert table[1]["held_out_log_rmse"] is None


def test_aicc_is_its_formula() -> None:
    loss = (30 * X**-0.2) * np.exp(0.01 * np.random.default_rng(1).standard_normal(12))
    fitted = fit_law(problem(M1(), loss))
    mean_square = float(np.mean(log_errors(fitted, fitted.problem) ** 2))
    expected = 12 * np.log(mean_square) + 2 * 3 + 2 * 3 * 4 / (12 - 3 - 1)
    assert aicc(fitted) == pytest.approx(expected)


def test_a_bad_run_is_flagged_and_exact_runs_are_not() -> None:
    residuals = 0.01 * np.random.default_rng(0).standard_normal(40)
    residuals[[7, 20]] = 0.5, -0.2
    assert flagged(residuals, 5) == [7, 20]
    assert z_scores(residuals, 5)[20] < -5
    assert flagged(1e-16 * np.random.default_rng(0).standard_normal(40), 5) == []
    assert flagged(residuals[:14], 5) == []


@pytest.mark.parametrize("runs", [15, 20, 40])
def test_runs_of_normal_noise_are_hardly_ever_flagged(runs: int) -> None:
    """A Huber fit goes nearly exactly through some rows, which must not shrink the scale."""
    count = 0
    for seed in range(30):
        rng = np.random.default_rng([runs, seed])
        columns = np.array([10 ** rng.uniform(3.5, 6, runs), 10 ** rng.uniform(4, 6.7, runs)])
        loss = 0.3 + 60 * columns[0] ** -0.5 + 900 * columns[1] ** -0.55
        loss *= np.exp(0.01 * rng.standard_normal(runs))
        fitted = fit_law(Problem(Additive(), columns, loss, Criterion()))
        count += len(flagged(fitted.residuals(), 5))
    assert count <= 0.005 * 30 * runs


def test_a_law_that_sees_more_runs_still_sees_none_of_the_step() -> None:
    """Compute of one budget scatters: rows of it below its lowest run are of the step too."""
    budgets = np.repeat([1e9, 1e10, 1e11, 1e12], 5)
    compute = budgets * np.tile([0.97, 0.99, 1.0, 1.01, 1.03], 4)
    loss = 30 * compute**-0.2
    loss[15:] *= 2  # the last budget is off: whoever saw it predicts it
    lowest = np.array([2, 7, 12, 17])
    everything = Entrant(fit_law(problem(M1(), loss, compute)), np.arange(20))
    row = tournament([everything], compute, lowest)[0]
    assert row["held_out_log_rmse"] == pytest.approx(np.log(2) / np.sqrt(3), rel=1e-6)
