"""`vitladder fit` on tables of other groups: what goes in, and what comes out."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fit_tables import HEAD, LAW, Fit, isoflop_rows, loss_of, named, write

from vitladder.cli import main


def test_the_open_table_by_the_command(chinchilla_csv: Path, fit: Fit) -> None:
    answer = fit(str(chinchilla_csv), "--law", "parametric", "--drop-worst", "5")
    law = answer["laws"]["parametric"]
    assert (answer["runs"], len(answer["dropped_worst"])) == (240, 5)
    assert law["objective"] <= 0.0010182740178 * (1 + 1e-9)
    assert law["params"]["B"] == pytest.approx(2143.4174, rel=1e-4)
    assert law["se"]["beta"] == pytest.approx(0.0206, rel=0.08)
    assert law["ci95"]["alpha"][0] < law["params"]["alpha"] < law["ci95"]["alpha"][1]
    assert law["terms"] == ["n_params", "tokens"]
    assert law["flops_per_param_image"] == pytest.approx(6.0)


def test_everything_that_the_columns_allow_by_default(fit: Fit) -> None:
    answer = fit(write(isoflop_rows(0.003)), "--bootstrap", "200")
    laws = answer["laws"]
    formulas = {"parametric", "zhai", "m1", "m2", "m3", "m4", "broken"}
    assert set(laws) == formulas | {"isoflop", "envelope"}
    exponents = [laws[name]["a"] for name in ("parametric", "isoflop")]
    assert exponents == pytest.approx([0.5238, 0.5238], abs=0.04)
    assert answer["held_out"]["rows"] == 5
    assert answer["held_out"]["log_rmse"] < 0.03
    assert answer["disagreement"] is not None
    assert {row["law"] for row in answer["tournament"]} <= formulas
    assert laws["m1"]["of"] == "the lowest run of each budget"
    assert (laws["m1"]["runs"], laws["parametric"]["runs"]) == (4, 20)
    assert "4 parameters need at least 5 runs" in answer["reasons"]["zhai"]


def test_what_a_law_reports(fit: Fit) -> None:
    law = fit(write(isoflop_rows(0.003)), "--law", "parametric", "--bootstrap", "50")["laws"]
    reported = law["parametric"]
    assert {"params", "objective", "gradient_norm", "starts_agreeing", "se", "ci95"} <= set(
        reported
    )
    assert {"condition_number", "identifiable", "held_out", "flagged_runs"} <= set(reported)
    assert reported["loss"] == "sum over rows of Huber(0.001) of log(measured) - log(predicted)"
    beyond = reported["frontier"][-1]
    assert beyond["extrapolated"]
    assert beyond["flops"] == pytest.approx(3e12)
    low, high = beyond["ci95"]["n_params"]
    assert low < beyond["n_params"] < high


def test_an_edge_minimum_is_named_and_not_used(fit: Fit) -> None:
    rows = [row for row in isoflop_rows() if not (row[3] == 1e10 and row[1] < 200)]
    smallest = sorted(row[1] for row in rows if row[3] == 1e10)
    rows = [row for row in rows if row[3] != 1e10 or row[1] >= smallest[-3]]
    isoflop = fit(write(rows), "--law", "isoflop")["laws"]["isoflop"]
    assert [one["edge"] for one in isoflop["minima"]] == [True, False, False, False]
    assert isoflop["minima"][0]["reason"] == "the smallest size is the lowest"
    assert isoflop["a"] == pytest.approx(0.5238, abs=0.02)
    assert isoflop["akima"]["a"] == pytest.approx(0.5238, abs=0.02)
    assert isoflop["k"] * 1e11 ** isoflop["a"] == pytest.approx(
        isoflop["minima"][2]["n_params"], rel=0.05
    )


def test_without_data_there_are_sizes_alone(fit: Fit, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [[row[1], row[3], row[4]] for row in isoflop_rows(0.001)]
    file = write(rows, ("n_params", "flops", "loss"))
    answer = fit(file, "--law", "isoflop", "--bootstrap", "50")
    law = answer["laws"]["isoflop"]
    assert law["a"] == pytest.approx(0.5238, abs=0.03)
    assert set(law["ci95"]) == set(law["se"]) == set(law["akima"]) == {"a", "k"}
    assert (law["b"], law["minima"][0]["images"]) == (None, None)
    assert "--flops-per" in answer["reasons"]["isoflop_images"]
    assert main(["fit", file]) == 0
    assert "IsoFLOP: N* ~ C^0.5" in capsys.readouterr().out


def test_laws_of_one_column_and_of_errors(fit: Fit) -> None:
    x = np.geomspace(1e8, 1e12, 20)
    file = write(np.stack([x, 0.1 + 30 * (x + 3e8) ** -0.25], axis=1).tolist(), ("flops", "error"))
    law = fit(file, "--law", "zhai", "--bootstrap", "20")["laws"]["zhai"]
    assert law["params"] == pytest.approx({"a": 30, "b": 0.25, "c": 0.1, "d": 3e8}, rel=1e-5)
    power = fit(file, "--law", "m2", "--terms", "flops", "--bootstrap", "0")["laws"]["m2"]
    assert set(power["params"]) == {"beta", "c", "eps_inf"}
    assert power["ci95"] is None


def test_many_terms_and_scales(fit: Fit) -> None:
    rng = np.random.default_rng(0)
    columns = 10 ** rng.uniform(2, 5, (3, 40))
    loss = 0.5 + 2 * columns[0] ** -0.3 + 9 * columns[1] ** -0.6 + 20 * columns[2] ** -0.5
    file = write(np.vstack([columns, loss]).T.tolist(), ("width", "depth", "images", "loss"))
    terms = ("--law", "parametric", "--terms", "width,depth,images", "--bootstrap", "20")
    params = fit(file, *terms)["laws"]["parametric"]["params"]
    assert params == {
        "E": pytest.approx(0.5, rel=1e-6),
        "coef": pytest.approx([2, 9, 20], rel=1e-5),
        "exp": pytest.approx([0.3, 0.6, 0.5], rel=1e-5),
    }
    scaled = fit(file, *terms, "--scale", "images=1e3")["laws"]["parametric"]
    assert scaled["params"]["coef"][2] == pytest.approx(20 / 1e3**0.5, rel=1e-5)
    assert len(scaled["ci95"]["exp"]) == len(scaled["se"]["coef"]) == 3


def test_shapes(fit: Fit) -> None:
    width, flops = (
        x.ravel() for x in np.meshgrid([64, 128, 256, 512, 1024], np.geomspace(1e9, 1e12, 5))
    )
    loss = 5 * width**-0.5 + (0.2 * width**0.4 + 50) * flops**-0.3 + 0.2
    file = write(np.stack([width, flops, loss], axis=1).tolist(), ("width", "flops", "loss"))
    params = fit(file, "--law", "shape", "--bootstrap", "0")["laws"]["shape"]["params"]
    assert (params["a"], params["b"], params["c"]) == pytest.approx((0.5, 0.4, 0.3), rel=1e-5)
    assert params["s"] == pytest.approx(0.3 / 0.9, rel=1e-5)


def test_data_that_grow_with_size_give_no_split(fit: Fit) -> None:
    n = np.geomspace(1e6, 1e10, 25)
    loss = loss_of(n, 20 * n) * np.exp(0.002 * np.random.default_rng(0).standard_normal(25))
    rows = [[f"r{k}", n[k], 20 * n[k], 120 * n[k] ** 2, loss[k]] for k in range(25)]
    answer = fit(write(rows), "--law", "parametric")
    law = answer["laws"]["parametric"]
    assert law["condition_number"] > 1e4
    assert law["identifiable"] is False
    assert (law["a"], law["b"], law["frontier"], law["ci95"]) == (None, None, None, None)
    assert "alpha and beta cannot be told apart" in answer["reasons"]["parametric_ci95"]


def test_data_that_nearly_grow_with_size_give_no_split(fit: Fit) -> None:
    """The condition number is of the natural parameters, which half a per cent of spread shows."""
    rng = np.random.default_rng(0)
    n = np.geomspace(1e6, 1e10, 30)
    d = 20 * n * np.exp(0.01 * rng.standard_normal(30))
    loss = (1.8 + 480 * n**-0.35 + 2100 * d**-0.37) * np.exp(0.002 * rng.standard_normal(30))
    rows = [[f"r{k}", n[k], d[k], 6 * n[k] * d[k], loss[k]] for k in range(30)]
    law = fit(write(rows), "--law", "parametric")["laws"]["parametric"]
    assert law["condition_number"] > 1e4
    assert (law["identifiable"], law["a"], law["ci95"]) == (False, None, None)


def test_every_law_of_ordinary_runs_is_finite(fit: Fit) -> None:
    rng = np.random.default_rng(1)
    rows = []
    for budget in np.geomspace(1e9, 1e12, 7):
        for size in 0.07 * budget**0.52 * np.array([0.3, 0.6, 1, 2, 4]):
            images = budget / (6 * size)
            loss = loss_of(size, images) * np.exp(0.005 * rng.standard_normal())
            rows.append([f"r{len(rows)}", size, images, budget, loss])
    laws = fit(write(rows), "--bootstrap", "5")["laws"]
    for law in laws.values():
        if law and "objective" in law:
            assert law["gradient_norm"] < 1
            assert law["condition_number"] >= 1


def test_ties_are_no_duplicates(fit: Fit) -> None:
    rows = [[*row[1:4], round(row[4], 1)] for row in isoflop_rows(0.002)]
    assert len({(row[2], row[3]) for row in rows}) < len(rows)
    assert fit(write(rows, HEAD[1:]), "--bootstrap", "25")["runs"] == 20


def test_learning_curves_of_a_table_give_an_envelope(fit: Fit) -> None:
    rows = [
        [f"n{k}", n, d, 6 * n * d, loss_of(np.array(n), np.array(d))]
        for k, n in enumerate(np.geomspace(1e2, 1e6, 12))
        for d in np.geomspace(1e3, 1e8, 20)
    ]
    envelope = fit(write(rows), "--law", "envelope", "--bootstrap", "50")["laws"]["envelope"]
    assert envelope["a"] == pytest.approx(0.5238, abs=0.05)
    assert main(["fit", "runs.csv", "--law", "parametric"]) == 2


@pytest.mark.parametrize("loss", ["huber", "lad", "ls"])
def test_the_size_of_losses_changes_no_exponent(fit: Fit, loss: str) -> None:
    found = []
    for size in (1e-6, 1e6):
        rows = [[*row[:4], row[4] * size] for row in isoflop_rows(0.005)]
        ask = ("--law", "parametric", "--residual", "linear", "--delta", str(1e-3 * size))
        answer = fit(write(rows), *ask, "--loss", loss, "--bootstrap", "0")
        law = answer["laws"]["parametric"]
        assert "converged" not in law["reasons"]
        found.append([law["params"]["alpha"], law["params"]["beta"], law["params"]["E"] / size])
    assert found[0] == pytest.approx(found[1], rel=1e-6)


@pytest.mark.parametrize(
    ("law", "loss", "said"),
    [
        ("zhai", lambda x: np.full_like(x, 1.5), "the loss is the same in all runs"),
        ("broken", lambda x: x**0.1, "does not fall with flops"),
        ("m1", lambda x: x**0.1, "does not fall with flops"),
    ],
)
def test_what_is_no_law_is_said(
    law: str, loss: Any, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    x = np.geomspace(1e8, 1e12, 20)
    file = write(np.stack([x, loss(x)], axis=1).tolist(), ("flops", "loss"))
    assert main(["fit", file, "--law", law, "--json"]) == 2
    told = capsys.readouterr()
    assert (told.out, len(told.err.splitlines())) == ("", 1)
    assert said in told.err


def test_compute_without_budgets_has_no_isoflop(capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    n, d = 10 ** rng.uniform(3, 6, 40), 10 ** rng.uniform(5, 8, 40)
    rows = [[f"r{k}", n[k], d[k], 6 * n[k] * d[k], loss_of(n[k], d[k])] for k in range(40)]
    assert main(["fit", write(rows), "--law", "isoflop"]) == 2
    assert "do not fall into budgets" in capsys.readouterr().err


def test_several_files_are_one_table(fit: Fit) -> None:
    rows = isoflop_rows()
    files = write(rows[:10], name="a.csv"), write(rows[10:], name="b.csv")
    answer = fit(*files, "--law", "parametric", "--bootstrap", "0")
    assert answer["runs"] == 20
    assert named(answer["laws"]["parametric"]) == pytest.approx(LAW, rel=1e-5)


def test_a_fit_is_written_where_it_is_asked_for(fit: Fit) -> None:
    answer = fit(write(isoflop_rows(0.002)), "--out", "fits/mine", "--bootstrap", "50")
    kept = json.loads(Path("fits/mine/fit.json").read_text())
    assert {name: kept[name] for name in answer} == answer
    assert len(kept["basis"]["draws"]) == 50
    with Path("fits/mine/runs.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 20
    error = float(rows[0]["predicted_parametric"]) / float(rows[0]["loss"]) - 1
    assert abs(error) < 0.02


def test_words_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", write(isoflop_rows(0.003)), "--bootstrap", "100"]) == 0
    said = capsys.readouterr().out
    for part in ("runs: 20 runs", "8 of 8 starts agree", "at ten times the largest C", "held out"):
        assert part in said
    assert "nan" not in said
