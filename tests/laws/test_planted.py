"""Planted parameters of every law come back from exact data, whatever they are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq

from vitladder.laws.additive import Additive
from vitladder.laws.broken import Broken
from vitladder.laws.criterion import Criterion
from vitladder.laws.law import Law
from vitladder.laws.m3 import M3
from vitladder.laws.m4 import M4
from vitladder.laws.optimum import Optimum, Problem, fit_law
from vitladder.laws.power import M1, M2
from vitladder.laws.shape import Shape
from vitladder.laws.zhai import Zhai

X = np.geomspace(1e8, 1e12, 24)
EXACT = 1e-5  # relative
exponents = st.floats(0.2, 0.8)
shares = st.floats(0.3, 1.0)
few = settings(deadline=None, max_examples=8)


def fit(law: Law, columns: np.ndarray, loss: np.ndarray) -> Optimum:
    return fit_law(Problem(law, columns, loss, Criterion()))


def comes_back(law: Law, columns: np.ndarray, loss: np.ndarray, planted: dict[str, float]) -> None:
    found = fit(law, columns, loss)
    assert dict(zip(law.letters, found.natural, strict=True)) == pytest.approx(planted, rel=EXACT)
    assert law.refuse(found.natural, found.problem.reach) is None
    assert found.predict(columns) == pytest.approx(loss, rel=1e-9)


@few
@example(2.0, 0.734375, 0.25, 0.5, 0.375)  # takes more than 300 steps
@given(st.floats(0.2, 2), exponents, exponents, shares, shares)
def test_parametric(e: float, alpha: float, beta: float, a: float, b: float) -> None:
    sizes, images = (x.ravel() for x in np.meshgrid(np.geomspace(3e3, 1e6, 5), X[:5]))
    a, b = a * 5e4**alpha, b * 3e8**beta
    loss = e + a * sizes**-alpha + b * images**-beta
    planted = {"E": e, "A": a, "alpha": alpha, "B": b, "beta": beta}
    comes_back(Additive(), np.array([sizes, images]), loss, planted)


@few
@given(st.lists(exponents, min_size=3, max_size=3), st.integers(0, 1000))
def test_three_terms_over_any_columns(powers: list[float], seed: int) -> None:
    columns = 10 ** np.random.default_rng(seed).uniform(2, 6, (3, 40))
    scales = [100**power for power in powers]
    terms = [c * x**-e for c, x, e in zip(scales, columns, powers, strict=True)]
    law = Additive(("width", "depth", "images"))
    found = fit(law, columns, 0.7 + sum(terms))
    assert found.params["E"] == pytest.approx(0.7, rel=EXACT)
    assert found.params["coef"] == pytest.approx(scales, rel=EXACT)
    assert found.params["exp"] == pytest.approx(powers, rel=EXACT)


@few
@example(0.05, 0.25, 9.625, 1.0)  # takes more than 300 steps
@given(st.floats(0.05, 0.6), st.floats(0.05, 0.4), st.floats(7.3, 9.7), shares)
def test_zhai(b: float, c: float, log_d: float, size: float) -> None:
    d, a = 10**log_d, size * (1e8 + 10**log_d) ** b
    comes_back(Zhai(), X[None], c + a * (X + d) ** -b, {"a": a, "b": b, "c": c, "d": d})


@few
@given(st.floats(-0.6, -0.05), st.floats(0.5, 50))
def test_m1(c: float, beta: float) -> None:
    comes_back(M1(), X[None], beta * X**c, {"beta": beta, "c": c})


@few
@given(st.floats(-0.6, -0.1), shares, st.floats(0.05, 0.5))
def test_m2(c: float, size: float, limit: float) -> None:
    beta = size * 1e8**-c
    comes_back(M2(), X[None], beta * X**c + limit, {"beta": beta, "c": c, "eps_inf": limit})


@few
@given(st.floats(0.1, 0.6), st.floats(-11, -9), shares)
def test_m3(c: float, log_gamma: float, size: float) -> None:
    gamma = 10**log_gamma
    beta = size * (1e-8 + gamma) ** -c
    comes_back(M3(), X[None], beta * (1 / X + gamma) ** c, {"beta": beta, "gamma": gamma, "c": c})


@settings(deadline=None, max_examples=4)
@given(st.floats(-0.7, -0.3), st.floats(0.3, 1.5), st.floats(0.05, 0.3), st.floats(8.7, 9.8))
def test_m4(c: float, alpha: float, limit: float, log_middle: float) -> None:
    guess = 0.9
    half = (guess - limit) / 2
    beta = half / half**alpha * (10**log_middle) ** -c

    def off(y: float, x: float) -> float:
        return np.log(y - limit) - alpha * np.log(guess - y) - np.log(beta) - c * np.log(x)

    ends = limit + 1e-13, guess - 1e-13
    loss = np.array([brentq(off, *ends, args=(x,), xtol=1e-16, rtol=1e-15) for x in X])
    planted = {"beta": beta, "c": c, "eps_inf": limit, "eps_0": guess, "alpha": alpha}
    comes_back(M4(), X[None], loss, planted)


@settings(deadline=None, max_examples=4)
@given(
    st.floats(0.05, 0.4), st.floats(0.15, 0.5), st.floats(9.2, 10.8), st.floats(0.2, 0.8), shares
)
def test_broken(c0: float, c1: float, log_d1: float, f1: float, size: float) -> None:
    d1, a, b = 10**log_d1, 0.1, size * 1e8**c0
    loss = a + b * X**-c0 * (1 + (X / d1) ** (1 / f1)) ** (-c1 * f1)
    comes_back(Broken(), X[None], loss, {"a": a, "b": b, "c0": c0, "c1": c1, "d1": d1, "f1": f1})


@settings(deadline=None, max_examples=4)
@given(exponents, exponents, exponents, shares, shares)
def test_shape(a: float, b: float, c: float, alpha: float, xi: float) -> None:
    width, flops = (
        x.ravel() for x in np.meshgrid(np.geomspace(64, 2048, 8), np.geomspace(1e9, 1e12, 5))
    )
    alpha, beta, xi, rest = alpha * 64**a, 0.3 * 64**-b * 1e9**c, xi * 1e9**c, 0.2
    loss = alpha * width**-a + (beta * width**b + xi) * flops**-c + rest
    planted = {"alpha": alpha, "a": a, "beta": beta, "b": b, "xi": xi, "c": c, "epsilon": rest}
    comes_back(Shape(), np.array([width, flops]), loss, planted)
    assert fit(Shape(), np.array([width, flops]), loss).params["s"] == pytest.approx(c / (a + b))


def test_the_best_shape_grows_as_its_exponent_says() -> None:
    a, b, c = 0.5, 0.4, 0.6
    widths = np.geomspace(1, 1e6, 200_001)
    best = [
        widths[np.argmin(0.3 * widths**-a + (0.02 * widths**b + 5) * t**-c)] for t in (1e3, 1e5)
    ]
    assert np.log(best[1] / best[0]) / np.log(100) == pytest.approx(c / (a + b), abs=1e-3)
