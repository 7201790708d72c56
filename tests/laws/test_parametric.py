"""The parametric law: its optimum is reached, planted laws come back, and hopeless runs say why."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import check_grad, minimize_scalar

from vitladder.laws.forms import ParametricLaw, flops_per_param_image
from vitladder.laws.huber import DELTA, Problem, derivatives, huber
from vitladder.laws.parametric import NoLaw, fit_parametric

shares = st.floats(0.2, 1.0)
exponents = st.floats(0.2, 0.8)


def grid() -> tuple[np.ndarray, np.ndarray]:
    sizes, images = np.meshgrid(np.geomspace(3e3, 1e6, 5), np.geomspace(1e4, 5e6, 5))
    return sizes.ravel(), images.ravel()


@st.composite
def laws(draw: st.DrawFn) -> ParametricLaw:
    """Laws whose three terms all matter at the middle of the grid."""
    alpha, beta = draw(exponents), draw(exponents)
    middle_n, middle_d = 5e4, 2e5
    return ParametricLaw(
        E=draw(shares),
        A=draw(shares) * middle_n**alpha,
        B=draw(shares) * middle_d**beta,
        alpha=alpha,
        beta=beta,
    )


def test_the_published_table_is_fitted_to_its_optimum(chinchilla_csv: Path) -> None:
    table = np.genfromtxt(chinchilla_csv, delimiter=",", names=True)
    kept = np.argsort(table["loss"])[:-5]
    fit = fit_parametric(table["n_params"][kept], table["tokens"][kept], table["loss"][kept])
    assert fit.objective <= 0.0010182740178 * (1 + 1e-6)
    expected = {
        "E": 1.8172181,
        "A": 477.82587,
        "B": 2143.4174,
        "alpha": 0.34731050,
        "beta": 0.36717243,
    }
    assert fit.law.params() == pytest.approx(expected, rel=1e-6)


@settings(deadline=None, max_examples=40)
@given(laws())
def test_a_planted_law_comes_back_from_exact_data(law: ParametricLaw) -> None:
    sizes, images = grid()
    fit = fit_parametric(sizes, images, law.loss(sizes, images))
    assert fit.law.params() == pytest.approx(law.params(), rel=1e-5)


@settings(deadline=None, max_examples=20)
@given(laws(), st.integers(0, 2**32 - 1))
def test_no_neighbour_of_the_optimum_is_better(law: ParametricLaw, seed: int) -> None:
    sizes, images = grid()
    rng = np.random.default_rng(seed)
    loss = law.loss(sizes, images) * np.exp(0.005 * rng.standard_normal(len(sizes)))
    fit = fit_parametric(sizes, images, loss)
    problem = Problem.of(sizes, images, loss)
    best = problem.theta(fit.law)
    for _ in range(20):
        near = best + 1e-4 * rng.standard_normal(5)
        assert huber(problem.residuals(near)[0]) >= fit.objective * (1 - 1e-12)


@settings(deadline=None, max_examples=20)
@given(laws(), st.integers(0, 2**32 - 1))
def test_gradient_and_hessian_are_the_derivatives(law: ParametricLaw, seed: int) -> None:
    sizes, images = grid()
    rng = np.random.default_rng(seed)
    loss = law.loss(sizes, images) * np.exp(0.3 * rng.standard_normal(len(sizes)))
    problem, free = Problem.of(sizes, images, loss), np.ones(5, dtype=bool)
    theta = problem.theta(law)

    def row(i: int) -> float:
        return check_grad(
            lambda t: derivatives(problem, t, free, 1.0)[1][i],
            lambda t: derivatives(problem, t, free, 1.0)[2][i],
            theta,
        )

    assert (
        check_grad(
            lambda t: derivatives(problem, t, free, 1.0)[0],
            lambda t: derivatives(problem, t, free, 1.0)[1],
            theta,
        )
        < 1e-5
    )
    assert max(row(i) for i in range(5)) < 1e-5


def test_an_outlier_moves_the_law_by_little() -> None:
    law = ParametricLaw(0.3, 60.0, 900.0, 0.5, 0.55)
    sizes, images = grid()
    loss = law.loss(sizes, images)
    loss[7] *= 3
    fit = fit_parametric(sizes, images, loss)
    assert fit.law.params() == pytest.approx(law.params(), rel=0.02)


def test_a_warm_start_reaches_the_same_optimum() -> None:
    law = ParametricLaw(0.3, 60.0, 900.0, 0.5, 0.55)
    sizes, images = grid()
    noise = np.random.default_rng(3).standard_normal(len(sizes))
    loss = law.loss(sizes, images) * np.exp(0.02 * noise)
    searched = fit_parametric(sizes, images, loss)
    warm = fit_parametric(sizes, images, loss, start=law)
    assert warm.objective == pytest.approx(searched.objective, rel=1e-9)


def test_a_loss_that_vanishes_leaves_e_at_its_bound() -> None:
    sizes, images = grid()
    loss = 40 * sizes**-0.4 + 300 * images**-0.5 - 0.02
    fit = fit_parametric(sizes, images, loss)
    assert fit.law.E == 0.0
    assert all(np.isfinite(value) for value in fit.law.params().values())
    again = fit_parametric(sizes, images, loss, start=fit.law)
    assert again.objective == pytest.approx(fit.objective, rel=1e-9)


@pytest.mark.parametrize(
    ("sizes", "images", "why"),
    [
        ([1e4, 2e4, 3e4, 4e4, 5e4], [1e5, 1e6, 2e6, 3e6, 4e6], "at least 6 complete runs"),
        ([1e4, 2e4] * 4, np.geomspace(1e4, 1e6, 8), "2 different model sizes"),
        (np.geomspace(1e4, 1e6, 8), [1e5] * 8, "1 different numbers of images"),
        (np.geomspace(1e4, 1e6, 8), 1e10 / np.geomspace(1e4, 1e6, 8), "second budget"),
    ],
)
def test_runs_that_cannot_determine_a_law_say_why(sizes, images, why) -> None:
    with pytest.raises(NoLaw, match=why):
        fit_parametric(np.array(sizes), np.array(images), np.linspace(2, 1, len(sizes)))


def test_a_loss_that_rises_with_size_is_no_law() -> None:
    sizes, images = grid()
    with pytest.raises(NoLaw, match="does not fall with size"):
        fit_parametric(sizes, images, 0.1 * sizes**0.2 + 300 * images**-0.5)


@given(laws(), st.floats(1e8, 1e20), st.floats(6, 1e3))
def test_the_optimum_spends_the_budget_and_no_other_size_is_better(law, flops, k) -> None:
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


def test_huber_is_quadratic_inside_delta_and_linear_outside() -> None:
    assert huber(np.array([DELTA / 2])) == pytest.approx(DELTA**2 / 8)
    assert huber(np.array([-1.0])) == pytest.approx(DELTA * (1 - DELTA / 2))
