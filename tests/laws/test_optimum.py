"""A fit reaches its optimum: the open table's, and one that no neighbour betters."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sample_laws import noisy, open_problem
from scipy.optimize import minimize_scalar

from vitladder.laws.additive import Additive
from vitladder.laws.criterion import Criterion
from vitladder.laws.forms import ParametricLaw, flops_per_param_image
from vitladder.laws.law import NoLaw
from vitladder.laws.optimum import Problem, exact_totals, fit_law
from vitladder.laws.power import M2
from vitladder.laws.zhai import Zhai

HUBER = {"E": 1.8172181, "A": 477.82587, "B": 2143.4174, "alpha": 0.34731050, "beta": 0.36717243}
LAD = {"E": 1.8168641, "A": 482.00598, "B": 2085.4358, "alpha": 0.34781306, "beta": 0.36585415}
ALL_ROWS = {"E": 1.8913385, "A": 495.726, "B": 12845.61, "alpha": 0.3493129, "beta": 0.4530490}
PUBLISHED = 1e-4  # relative
CRITERIA = [
    Criterion(),
    Criterion("lad"),
    Criterion("ls"),
    Criterion("huber", 0.01, "linear"),
    Criterion("lad", residual="linear"),
]


@pytest.mark.parametrize(
    ("criterion", "drop", "expected"),
    [(Criterion(), 5, HUBER), (Criterion("lad"), 5, LAD), (Criterion(), 0, ALL_ROWS)],
    ids=["huber", "lad", "all rows"],
)
def test_the_open_table_is_fitted_to_its_optimum(
    chinchilla_csv: Path, criterion: Criterion, drop: int, expected: dict[str, float]
) -> None:
    found = fit_law(open_problem(chinchilla_csv, criterion, drop))
    params = {name: found.params[name] for name in expected}
    assert params == pytest.approx(expected, rel=PUBLISHED)
    assert found.starts_agreeing == found.starts == 8
    assert found.identifiable


def test_the_open_objective_is_the_lowest_known(chinchilla_csv: Path) -> None:
    found = fit_law(open_problem(chinchilla_csv, Criterion()))
    assert found.objective <= 0.0010182740178 * (1 + 1e-9)
    assert found.gradient_norm < 1e-12
    lad = fit_law(open_problem(chinchilla_csv, Criterion("lad")))
    published = np.log(
        1.8168641
        + 482.00598 * lad.problem.columns[0] ** -0.34781306
        + 2085.4358 * lad.problem.columns[1] ** -0.36585415
    )
    assert lad.objective <= np.abs(np.log(lad.problem.target) - published).sum()
    assert lad.gradient_norm < 1e-9


@pytest.mark.parametrize("criterion", CRITERIA, ids=str)
@settings(deadline=None, max_examples=8)
@given(seed=st.integers(0, 2**32 - 1))
def test_no_neighbour_of_the_optimum_is_better(criterion: Criterion, seed: int) -> None:
    found = fit_law(noisy(seed, criterion))
    rows = found.problem.rows()
    near = found.theta + 1e-4 * np.random.default_rng(seed).standard_normal((200, 5))
    assert exact_totals(found.problem, rows, near).min() >= found.objective * (1 - 1e-9)


def test_the_objective_is_the_sum_over_rows_that_it_says() -> None:
    found = fit_law(noisy(1, Criterion("ls")))
    assert found.objective == pytest.approx(0.5 * float(found.residuals() @ found.residuals()))
    linear = fit_law(noisy(1, Criterion("lad", residual="linear")))
    predicted = linear.predict(linear.problem.columns)
    assert linear.objective == pytest.approx(np.abs(linear.problem.target - predicted).sum())


def test_an_outlier_moves_a_robust_law_by_little() -> None:
    exact = noisy(1, Criterion())
    columns = exact.columns
    loss = 0.3 + 60 * columns[0] ** -0.5 + 900 * columns[1] ** -0.55
    loss[7] *= 3
    for criterion in (Criterion(), Criterion("lad")):
        params = fit_law(Problem(Additive(), columns, loss, criterion)).params
        assert (params["alpha"], params["beta"]) == pytest.approx((0.5, 0.55), rel=0.02)


def test_a_loss_that_vanishes_leaves_e_at_its_bound() -> None:
    columns = noisy(0, Criterion()).columns
    loss = 40 * columns[0] ** -0.4 + 300 * columns[1] ** -0.5 - 0.02
    found = fit_law(Problem(Additive(), columns, loss, Criterion()))
    assert found.params["E"] == 0.0
    assert np.isfinite(found.natural).all()
    assert found.gradient_norm < 1e-6


def test_saturation_that_is_not_there_is_zero() -> None:
    x = np.geomspace(1e8, 1e12, 20)
    found = fit_law(Problem(Zhai(), x[None], 0.2 + 40 * x**-0.3, Criterion()))
    assert found.params["d"] == pytest.approx(0.0, abs=1e3)
    assert found.params["b"] == pytest.approx(0.3, rel=1e-5)


@pytest.mark.parametrize(
    ("columns", "why"),
    [
        ([[1e4, 2e4, 3e4, 4e4, 5e4], [1e5, 1e6, 2e6, 3e6, 4e6]], "at least 6 runs, there are 5"),
        ([[1e4, 2e4] * 4, list(np.geomspace(1e4, 1e6, 8))], "2 different n_params"),
        ([list(np.geomspace(1e4, 1e6, 8)), [1e5] * 8], "1 different images"),
    ],
)
def test_runs_that_cannot_determine_a_law_say_why(columns: list[list[float]], why: str) -> None:
    loss = np.linspace(2, 1, len(columns[0]))
    with pytest.raises(NoLaw, match=why):
        fit_law(Problem(Additive(), np.array(columns), loss, Criterion()))


def test_a_loss_that_rises_is_refused() -> None:
    columns = noisy(0, Criterion()).columns
    loss = 0.1 * columns[0] ** 0.2 + 300 * columns[1] ** -0.5
    found = fit_law(Problem(Additive(), columns, loss, Criterion()))
    assert "does not fall with n_params" in str(
        found.problem.law.refuse(found.natural, found.problem.reach)
    )
    x = np.geomspace(1, 100, 9)
    rising = fit_law(Problem(M2(), x[None], x**0.3, Criterion()))
    assert "does not fall with flops" in str(
        rising.problem.law.refuse(rising.natural, rising.problem.reach)
    )


@settings(deadline=None, max_examples=5)
@given(st.floats(0.2, 0.5), st.floats(0.2, 0.5), st.integers(0, 1000))
def test_sizes_that_grow_with_data_cannot_be_told_from_it(
    alpha: float, beta: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    sizes = np.geomspace(1e7, 1e11, 30)
    loss = 1.8 + 1e7**alpha * sizes**-alpha + 2e8**beta * (20 * sizes) ** -beta
    loss *= np.exp(0.003 * rng.standard_normal(30))
    found = fit_law(Problem(Additive(), np.array([sizes, 20 * sizes]), loss, Criterion()))
    assert found.condition_number > 1e4
    assert not found.identifiable


def test_runs_that_vary_both_are_told_apart() -> None:
    found = fit_law(noisy(3, Criterion()))
    assert found.condition_number < 1e3
    assert found.identifiable


laws = st.builds(
    ParametricLaw,
    E=st.floats(0.2, 1),
    A=st.floats(10, 1e3),
    B=st.floats(10, 1e4),
    alpha=st.floats(0.2, 0.8),
    beta=st.floats(0.2, 0.8),
)


@given(laws, st.floats(1e8, 1e20), st.floats(6, 1e3))
def test_the_optimum_spends_the_budget_and_no_other_size_is_better(
    law: ParametricLaw, flops: float, k: float
) -> None:
    size, images = (float(x[0]) for x in law.optimal(np.array([flops]), k))
    assert k * size * images == pytest.approx(flops, rel=1e-9)

    def loss(log_n: float) -> float:
        n = np.exp(log_n)
        return float(law.loss(np.array([n]), np.array([flops / (k * n)]))[0])

    middle = np.log(size)
    found = minimize_scalar(loss, bounds=(middle - 3, middle + 3), method="bounded")
    assert loss(middle) <= found.fun * (1 + 1e-9)


def test_flops_per_param_image_is_a_geometric_mean() -> None:
    ratio = flops_per_param_image(np.array([1.0, 2.0]), np.array([3.0, 5.0]), np.array([6.0, 80.0]))
    assert ratio == pytest.approx(4.0)
