"""The figures of the laws: which data they draw, in which order, on which scales."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitladder.laws.forms import ParametricLaw
from vitladder.laws.isoflop import find_minima
from vitladder.laws.study import RunPoint
from vitladder.report.chart import Drawing, packed, still
from vitladder.report.learning import MOST_POINTS, LearningCurve, learning_curves
from vitladder.report.notation import power_of_ten
from vitladder.report.optimum import optimum
from vitladder.report.plots import frontier, isoflop_curves
from vitladder.report.shades import shades
from vitladder.report.style import DARK, RAMP

SIZES = [1e3 * 2**i for i in range(6)]
LAW = ParametricLaw(E=0.3, A=60.0, B=900.0, alpha=0.5, beta=0.55)


def runs_of(losses: list[float], budget: float) -> list[RunPoint]:
    return [
        RunPoint(f"{budget:g}-{n:g}", n, budget / (96 * n), budget, loss, budget)
        for n, loss in zip(SIZES, losses, strict=True)
    ]


INSIDE = runs_of([3.0, 1.2, 1.0, 1.3, 5.0, 9.0], 1e10)
EDGE = runs_of([1.0, 1.1, 1.3, 1.5, 2.0, 3.0], 1e12)


def fit_of(runs: list[RunPoint], **parametric: Any) -> dict[str, Any]:
    """A fit with minima, and the parametric law where there is more of it."""
    minima = [asdict(minimum) for minimum in find_minima(runs)]
    isoflop = {"minima": minima, "a": None, "b": None, "k": None, "k_images": None}
    law = {"params": LAW.params(), "a": LAW.a, **parametric} if parametric else None
    return {"laws": {"isoflop": isoflop, "parametric": law}, "flops_per_param_image": 96.0}


def frontier_points(ci95: bool) -> list[dict[str, Any]]:
    """What fit.json has of the law's optimum: intervals of a factor of two."""
    points = []
    for flops in (1e10, 1e11, 1e12, 1e13):
        sizes, images = LAW.optimal(np.array([flops]), 96.0)
        best = {"n_params": float(sizes[0]), "images": float(images[0])}
        best["loss"] = float(LAW.loss(sizes, images)[0])
        bounds = {name: [value / 2, value * 2] for name, value in best.items()}
        points.append({"flops": flops, **best, "ci95": bounds if ci95 else None})
    return points


def data_of(drawing: Drawing, layer: dict[str, Any]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = drawing.spec["datasets"][layer["data"]["name"]]
    return rows


def layers_of(drawing: Drawing, mark: str) -> list[dict[str, Any]]:
    return [layer for layer in drawing.spec["layer"] if layer["mark"]["type"] == mark]


def test_a_faint_line_behind_its_parabola_joins_all_runs_of_a_budget() -> None:
    drawing = isoflop_curves([*INSIDE, *EDGE], fit_of([*INSIDE, *EDGE]))
    joins, parabola = layers_of(drawing, "line")
    assert [row["n_params"] for row in data_of(drawing, joins)] == SIZES * 2
    assert len({row["budget_flops"] for row in data_of(drawing, parabola)}) == 1
    assert joins["mark"]["strokeWidth"] < parabola["mark"]["strokeWidth"]
    assert joins["encoding"]["detail"]["field"] == "budget_flops"


def test_the_line_goes_through_the_mean_of_seeds() -> None:
    seeds = [
        *runs_of([2.0, 1.0, 2.0, 3.0, 4.0, 5.0], 1e10),
        *runs_of([2.0, 4.0, 2.0, 3.0, 4.0, 5.0], 1e10),
    ]
    drawing = isoflop_curves(seeds, {"laws": {"isoflop": None}})
    joins = data_of(drawing, layers_of(drawing, "line")[0])
    np.testing.assert_allclose([row["loss"] for row in joins], [2.0, 2.0, 2.0, 3.0, 4.0, 5.0])


def test_hovering_names_the_run_and_the_legend_toggles_budgets() -> None:
    drawing = isoflop_curves([*INSIDE, *EDGE], fit_of([*INSIDE, *EDGE]))
    runs, hollow, filled = layers_of(drawing, "point")
    assert runs["encoding"]["tooltip"][0]["field"] == "run"
    assert {row["run"] for row in data_of(drawing, runs)} == {r.run_key for r in [*INSIDE, *EDGE]}
    assert runs["params"][0]["bind"] == "legend"
    assert runs["encoding"]["color"]["scale"]["domain"] == ["10¹⁰", "10¹²"]
    assert [hollow["mark"]["filled"], filled["mark"]["filled"]] == [False, True]


def test_both_axes_may_be_switched_and_know_their_log_ticks() -> None:
    spec = isoflop_curves(INSIDE, fit_of(INSIDE)).spec
    assert spec["encoding"]["x"]["scale"]["type"] == "log"
    assert spec["encoding"]["x"]["axis"]["values"] == spec["usermeta"]["log"]["x"]
    assert set(spec["usermeta"]["log"]) == {"x", "y"}
    low, high = spec["encoding"]["x"]["scale"]["domain"]
    assert low < min(SIZES) < max(SIZES) < high


def test_a_frontier_has_its_band_and_goes_to_ten_times_the_largest() -> None:
    runs = [*INSIDE, *EDGE]
    drawing = frontier(runs, fit_of(runs, frontier=frontier_points(ci95=True)))
    (band,) = layers_of(drawing, "area")
    rows = data_of(drawing, band)
    assert max(row["flops"] for row in rows) == 1e13
    assert band["encoding"]["y"]["field"] == "low_loss"
    assert band["encoding"]["y2"]["field"] == "high_loss"
    assert rows[-1]["high_loss"] / rows[-1]["low_loss"] == pytest.approx(4, rel=1e-4)
    assert drawing.spec["title"].startswith("L(N, D) = 0.3")
    solid, dashed = layers_of(drawing, "line")
    assert "strokeDash" in dashed["mark"]
    assert max(row["flops"] for row in data_of(drawing, solid)) == 1e12


@pytest.mark.parametrize("column", ["n_params", "images"])
def test_an_optimum_without_intervals_has_no_band(column: str) -> None:
    runs = [*INSIDE, *EDGE]
    sure = optimum(runs, fit_of(runs, frontier=frontier_points(ci95=True)), column, "N*")
    unsure = optimum(runs, fit_of(runs, frontier=frontier_points(ci95=False)), column, "N*")
    assert len(layers_of(sure, "area")) == 1
    assert layers_of(unsure, "area") == []
    best = data_of(unsure, layers_of(unsure, "point")[0])[0]
    place = {"n_params": 0, "images": 1}[column]
    assert best[column] == pytest.approx(LAW.optimal(np.array([1e13]), 96.0)[place][0], rel=1e-5)


def test_learning_curves_are_thinned_to_what_a_page_can_hold() -> None:
    steps = [1e8 * k for k in range(1, 101)]
    curves = [
        LearningCurve(f"r{k}", "failed" if k == 0 else "complete", 1e3, steps, steps[::-1])
        for k in range(200)
    ]
    drawing = learning_curves(curves, {})
    assert len(drawing.rows) == MOST_POINTS
    first = [row for row in drawing.rows if row["run"] == "r1"]
    assert [first[0]["flops"], first[-1]["flops"]] == [steps[0], steps[-1]]
    assert len(still(drawing.spec)["layer"]) == len(drawing.spec["layer"]) - 2


def test_data_is_packed_in_columns_with_text_once() -> None:
    rows = [{"run": "a", "loss": 1.5}, {"run": "a", "loss": 2.5}, {"run": "a"}, {"run": "b"}]
    data = packed({"datasets": {"rows0": rows}})["datasets"]["rows0"]
    assert data["run"] == {"of": ["a", "b"], "at": [0, 0, 0, 1]}
    assert data["loss"] == [1.5, 2.5, None, None]


@given(st.lists(st.floats(1.0, 1e20), min_size=1, max_size=60))
def test_every_value_has_one_of_at_most_eight_shades_in_order(values: list[float]) -> None:
    named = shades(values, lambda value: power_of_ten(value, 3))
    assert len(named.names) <= len(RAMP)
    places = [named.names.index(named(value)) for value in sorted(values)]
    assert places == sorted(places)
    assert set(places) == set(range(len(named.names)))
    assert len(set(named.scale()["range"])) == len(named.names)


def luminance(colour: str) -> float:
    parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return float(np.dot([0.2126, 0.7152, 0.0722], linear))


def test_the_ramp_goes_one_way_on_both_grounds_and_can_be_seen_on_them() -> None:
    for ramp, ground in ((RAMP, "#ffffff"), ([DARK[one] for one in RAMP], DARK["#ffffff"])):
        light = [luminance(one) for one in ramp]
        assert light == sorted(light)
        for one in light:
            low, high = sorted([one, luminance(ground)])
            assert (high + 0.05) / (low + 0.05) > 2.2


@pytest.mark.parametrize(
    ("kept", "reached"),
    [
        (lambda run: run.n_params < 2500, lambda sizes, images: sizes <= 2000),
        (lambda run: run.images < 4e5, lambda sizes, images: images <= 4e5),
    ],
    ids=["sizes", "images"],
)
def test_what_no_run_reaches_is_dashed(kept: Any, reached: Any) -> None:
    some = [run for run in (*INSIDE, *EDGE) if kept(run)]
    some = [replace(run, flops=1e12) if run is some[-1] else run for run in some]
    drawing = frontier(some, fit_of(some, frontier=frontier_points(ci95=False)))
    found = {"solid": 0, "dashed": 0}
    for one in layers_of(drawing, "line"):
        flops = np.array([row["flops"] for row in data_of(drawing, one)])
        kind = "dashed" if "strokeDash" in one["mark"] else "solid"
        found[kind] += 1
        if kind == "solid":
            assert reached(*LAW.optimal(flops * 0.999, 96.0)).all()
    assert found["dashed"] > 0
    assert found["solid"] > 0


def test_a_power_law_is_drawn_with_many_points() -> None:
    """It is straight on two logarithmic axes alone, and the page may switch one."""
    isoflop = {"a": 0.27, "k": 1.0, "b": 0.73, "k_images": 1.0, "minima": []}
    fit = {"laws": {"isoflop": isoflop, "parametric": None}}
    runs = [*INSIDE, *EDGE]
    [line] = layers_of(optimum(runs, fit, "n_params", "N*"), "line")
    rows = data_of(optimum(runs, fit, "n_params", "N*"), line)
    flops, sizes = (np.array([row[name] for row in rows]) for name in ("flops", "n_params"))
    between = (flops[1:] + flops[:-1]) / 2
    drawn = np.interp(between, flops, sizes)
    assert drawn == pytest.approx(between**0.27, rel=2e-3)
