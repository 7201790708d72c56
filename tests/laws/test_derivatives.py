"""Every model's gradient and Hessian are the derivatives of its objective, for every criterion."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import approx_fprime

from vitladder.laws.additive import Additive
from vitladder.laws.broken import Broken
from vitladder.laws.criterion import Criterion
from vitladder.laws.law import Law
from vitladder.laws.m3 import M3
from vitladder.laws.m4 import M4
from vitladder.laws.model import Rows
from vitladder.laws.newton import solve_positive
from vitladder.laws.power import M1, M2
from vitladder.laws.shape import Shape
from vitladder.laws.zhai import Zhai

LAWS: list[tuple[Law, list[float]]] = [
    (Additive(), [-0.3, -0.5, 0.4, -0.8, 0.6]),
    (Additive(("a", "b", "c")), [-0.3, -0.5, 0.4, -0.8, 0.6, -0.2, 0.3]),
    (Zhai(), [-1.0, -0.3, 0.4, -0.5]),
    (M1(), [-0.4, -0.3]),
    (M2(), [-0.4, -0.3, -1.2]),
    (M3(), [-0.4, 0.3, -0.6]),
    (M4(), [-2.0, 0.2, -0.4, -0.5, -0.3]),
    (Broken(), [-1.5, -0.4, 0.2, 0.4, 0.3, -0.7]),
    (Shape(), [-0.5, 0.4, -1.5, 0.3, -0.8, 0.5, -1.0]),
]
CRITERIA = [
    Criterion("huber", 0.5),
    Criterion("huber", 0.05),
    Criterion("ls"),
    Criterion("lad"),
    Criterion("huber", 0.5, "linear"),
    Criterion("lad", residual="linear"),
]
TURN = 0.2  # of least absolute deviation, wide enough for finite differences


def rows_of(law: Law, fits: int) -> Rows:
    rng = np.random.default_rng(1)
    logs = rng.uniform(-2, 2, (len(law.inputs), 15))
    target = np.exp(rng.normal(0, 0.4, 15))
    return Rows(law.model(logs), target, rng.integers(0, 3, (fits, 15)).astype(float))


@pytest.mark.parametrize("criterion", CRITERIA, ids=str)
@pytest.mark.parametrize(("law", "theta"), LAWS, ids=lambda one: getattr(one, "name", ""))
def test_derivatives_are_those_of_the_objective(
    law: Law, theta: list[float], criterion: Criterion
) -> None:
    rows, at = rows_of(law, 1), np.array(theta)
    turn = TURN if criterion.loss == "lad" else criterion.turn
    objective, first = rows.objective(criterion, turn), np.array([0])
    local = objective(at[None], first)
    gradient = approx_fprime(at, lambda t: float(objective(t[None], first).value[0]), 1e-6)
    assert local.gradient[0] == pytest.approx(gradient, rel=1e-4, abs=1e-4)
    hessian = approx_fprime(at, lambda t: objective(t[None], first).gradient[0], 1e-6)
    assert local.hessian[0] == pytest.approx(hessian, rel=1e-3, abs=1e-3)


@pytest.mark.parametrize(("law", "theta"), LAWS, ids=lambda one: getattr(one, "name", ""))
def test_a_batch_gives_what_its_fits_give_alone(law: Law, theta: list[float]) -> None:
    rows = rows_of(law, 40)
    batch = np.array(theta) + 0.1 * np.random.default_rng(2).standard_normal((40, len(theta)))
    objective = rows.objective(Criterion("huber", 0.1), 0.1)
    together = objective(batch, np.arange(40))
    for fit in (0, 17, 39):
        alone = objective(batch[fit][None], np.array([fit]))
        for one, many in zip(alone, together, strict=True):
            assert many[fit] == pytest.approx(one[0], rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(("law", "theta"), LAWS, ids=lambda one: getattr(one, "name", ""))
def test_the_jacobian_is_the_slope_of_log_predictions(law: Law, theta: list[float]) -> None:
    model, at = rows_of(law, 1).model, np.array(theta)
    jacobian = model.at(at[None]).jacobian()[0]
    slopes = approx_fprime(at, lambda t: model.log_prediction(t[None])[0], 1e-6)
    assert pytest.approx(slopes, rel=1e-4, abs=1e-5) == jacobian.T


def test_small_systems_are_solved_and_indefinite_ones_named() -> None:
    rng = np.random.default_rng(0)
    roots, right = rng.standard_normal((50, 5, 5)), rng.standard_normal((50, 5))
    matrices = roots @ np.swapaxes(roots, 1, 2) + 0.1 * np.eye(5)
    matrices[::2] -= 3 * np.eye(5)
    solution, positive = solve_positive(matrices, right)
    assert (positive == (np.linalg.eigvalsh(matrices)[:, 0] > 0)).all()
    exact = np.linalg.solve(matrices, right[:, :, None])[:, :, 0]
    assert solution[positive] == pytest.approx(exact[positive], rel=1e-8)
