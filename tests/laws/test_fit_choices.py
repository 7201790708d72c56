"""Which columns and rows of a table `vitladder fit` takes, as it is asked to."""

from __future__ import annotations

import numpy as np
import pytest
from fit_tables import LAW, Fit, isoflop_rows, named, write


def test_columns_under_other_names(fit: Fit) -> None:
    rows = [row[1:] for row in isoflop_rows()]
    file = write(rows, ("params", "Seen Examples", "C", "Loss"))
    given = ("n_params=params", "images=Seen Examples", "flops=C", "loss=Loss")
    columns = [part for name in given for part in ("--column", name)]
    law = fit(file, "--law", "parametric", "--bootstrap", "0", *columns, "--where", "Loss<9")[
        "laws"
    ]
    assert named(law["parametric"]) == pytest.approx(LAW, rel=1e-5)


def test_the_third_of_n_d_and_c_comes_from_a_choice_that_is_told(fit: Fit) -> None:
    rows = isoflop_rows()
    without_c = write([[r[1], r[2], r[4]] for r in rows], ("n_params", "images", "loss"), "nd.csv")
    without_d = write([[r[1], r[3], r[4]] for r in rows], ("n_params", "flops", "loss"), "nc.csv")
    for file, said in ((without_c, "flops from"), (without_d, "images from")):
        answer = fit(file, "--law", "parametric", "--bootstrap", "0", "--flops-per", "6*N*D")
        assert named(answer["laws"]["parametric"]) == pytest.approx(LAW, rel=1e-5)
        assert answer["laws"]["parametric"]["a"] == pytest.approx(0.55 / 1.05, rel=1e-5)
        assert said in answer["flops_per"]
    alone = fit(without_c, "--law", "parametric", "--bootstrap", "0")["laws"]["parametric"]
    assert alone["a"] is None
    assert named(alone) == pytest.approx(LAW, rel=1e-5)


def test_rows_are_filtered_held_out_and_dropped_as_asked(fit: Fit) -> None:
    rows = isoflop_rows()
    rows[3][4] *= 5
    file = write(rows)
    ask = ("--law", "parametric", "--bootstrap", "0")
    assert fit(file, *ask, "--where", "flops<=1e11")["runs"] == 15
    worst = fit(file, *ask, "--drop-worst", "1")
    assert worst["dropped_worst"] == ["r3"]
    held = fit(file, *ask, "--drop-worst", "1", "--hold-out", "flops>1e11")
    assert held["runs"] == 14
    assert held["held_out"]["rows"] == 5
    assert held["held_out"]["what"] == "flops>1e11"
    assert held["held_out"]["log_rmse"] < 1e-5
    assert list(held["held_out"]["predicted"]) == [f"r{k}" for k in range(15, 20)]


def test_a_bad_run_is_flagged_kept_or_dropped(fit: Fit) -> None:
    rows = isoflop_rows(0.002)
    rows[7][4] *= 1.2
    ask = (write(rows), "--law", "parametric", "--bootstrap", "0")
    kept = fit(*ask)
    assert [one["run"] for one in kept["flagged_runs"]] == ["r7"]
    assert kept["flagged_runs"][0]["z"] > 5
    assert kept["laws"]["parametric"]["flagged_runs"] == kept["flagged_runs"]
    assert kept["runs"] == 20
    dropped = fit(*ask, "--drop-flagged")
    assert dropped["runs"] == 19
    assert [one["run"] for one in dropped["dropped_flagged"]] == ["r7"]


def test_groups(fit: Fit) -> None:
    x = np.geomspace(1e8, 1e12, 15)
    rows = [["b", v, 0.1 + 40 * v**-0.3] for v in x] + [["a", v, 30 * v**-0.2] for v in x]
    rows += [["few", 1e9, 1.0]]
    answer = fit(
        write(rows, ("task", "images", "loss")), "--law", "m2", "--by", "task", "--bootstrap", "0"
    )
    assert list(answer["groups"]) == ["b", "a", "few"]
    assert answer["groups"]["b"]["laws"]["m2"]["params"]["c"] == pytest.approx(-0.3, rel=1e-5)
    assert answer["groups"]["a"]["laws"]["m2"]["params"]["eps_inf"] == pytest.approx(0, abs=1e-6)
    assert answer["groups"]["few"]["laws"]["m2"] is None
    assert "need at least 4 runs" in answer["groups"]["few"]["reasons"]["m2"]
    assert answer["runs"] == 31


def test_filters_see_the_column_that_a_choice_makes(fit: Fit) -> None:
    rows = [[r[1], r[2], r[4]] for r in isoflop_rows()]
    file = write(rows, ("n_params", "images", "loss"))
    ask = ("--law", "parametric", "--bootstrap", "0", "--flops-per", "6*N*D")
    assert fit(file, *ask, "--hold-out", "flops>2e11")["held_out"]["rows"] == 5
    assert fit(file, *ask, "--where", "flops<2e11")["runs"] == 15


def test_what_is_wrong_in_one_group_keeps_no_other_from_its_law(fit: Fit) -> None:
    x = np.geomspace(1e8, 1e12, 15)
    rows = [["good", v, 30 * v**-0.2] for v in x] + [["bad", v, -1] for v in x]
    answer = fit(write(rows, ("task", "images", "loss")), "--law", "m1", "--by", "task")
    assert answer["groups"]["good"]["laws"]["m1"]["params"]["c"] == pytest.approx(-0.2)
    assert answer["groups"]["bad"]["laws"]["m1"] is None
    assert "not positive" in answer["groups"]["bad"]["reasons"]["m1"]


def test_held_out_runs_of_a_law_of_compute_are_the_lowest_too(fit: Fit) -> None:
    ask = (write(isoflop_rows()), "--law", "m1", "--bootstrap", "0", "--hold-out", "flops>2e11")
    assert fit(*ask)["held_out"]["rows"] == 1
