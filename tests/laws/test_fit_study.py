"""A study's folder in, its laws out: with real record.json files from a known law."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from laws_study import BUDGETS, FLOPS_PER_PARAM_IMAGE, LAW, write_run, write_study

from vitladder.cli import main
from vitladder.errors import UserError
from vitladder.laws.describe import describe_fit
from vitladder.laws.fit import fit_or_reasons, fit_study, unfitted_study
from vitladder.laws.study import points, read_records
from vitladder.report.page import write_page


@pytest.fixture(scope="module")
def exact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study that follows its law exactly; it is only read."""
    return write_study(tmp_path_factory.mktemp("exact"))


@pytest.fixture(scope="module")
def exact_fit(exact: Path) -> dict[str, Any]:
    return fit_study(exact, bootstrap=0)


@pytest.fixture(scope="module")
def noisy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study with noise; it is only read."""
    return write_study(tmp_path_factory.mktemp("noisy"), noise=0.01)


@pytest.fixture(scope="module")
def noisy_fit(noisy: Path) -> dict[str, Any]:
    return fit_study(noisy, bootstrap=25, seed=1)


def test_a_known_law_comes_back_from_a_folder(exact_fit: dict[str, Any]) -> None:
    fit = exact_fit
    assert fit["runs"] == 20
    params = fit["laws"]["parametric"]["params"]
    assert {name: params[name] for name in LAW.params()} == pytest.approx(LAW.params(), rel=1e-8)
    assert params["coef"] == [params["A"], params["B"]]
    assert params["exp"] == [params["alpha"], params["beta"]]
    assert fit["laws"]["parametric"]["a"] == pytest.approx(LAW.a, rel=1e-4)
    assert fit["flops_per_param_image"] == pytest.approx(FLOPS_PER_PARAM_IMAGE, rel=1e-6)
    assert fit["laws"]["isoflop"]["a"] == pytest.approx(LAW.a, abs=0.01)
    assert fit["laws"]["isoflop"]["b"] == pytest.approx(LAW.b, abs=0.01)
    assert fit["held_out"]["log_rmse"] < 1e-4
    assert fit["held_out"]["rows"] == 5
    assert fit["held_out"]["flops"] == pytest.approx(3e11, rel=0.01)


def test_minima_lie_where_the_law_has_its_optimum(exact_fit: dict[str, Any]) -> None:
    minima = exact_fit["laws"]["isoflop"]["minima"]
    assert [minimum["edge"] for minimum in minima] == [False] * 4
    for minimum, flops in zip(minima, BUDGETS, strict=True):
        best, images = LAW.optimal(np.array([flops]), FLOPS_PER_PARAM_IMAGE)
        assert minimum["n_params"] == pytest.approx(best[0], rel=0.05)
        assert minimum["images"] == pytest.approx(images[0], rel=0.05)
        assert minimum["loss"] == pytest.approx(LAW.loss(best, images)[0], rel=0.01)


def test_noise_gives_intervals_and_a_held_out_error(noisy_fit: dict[str, Any]) -> None:
    laws = noisy_fit["laws"]
    letters = {"E", "A", "B", "alpha", "beta", "a", "b", "coef", "exp"}
    assert set(laws["parametric"]["ci95"]) == set(laws["parametric"]["se"]) == letters
    assert set(laws["isoflop"]["ci95"]) == {"a", "k", "b", "k_images"}
    held_out = noisy_fit["held_out"]
    assert 0 < held_out["log_rmse"] < 0.05
    assert abs(held_out["bias"]) <= held_out["log_rmse"]


def test_the_same_seed_gives_the_same_answer(noisy: Path, noisy_fit: dict[str, Any]) -> None:
    again, other = (fit_study(noisy, bootstrap=25, seed=seed) for seed in (1, 2))
    assert again == noisy_fit
    assert again["laws"]["parametric"]["ci95"] != other["laws"]["parametric"]["ci95"]


def test_the_answer_is_strict_json(noisy_fit: dict[str, Any]) -> None:
    strict = json.dumps(noisy_fit, allow_nan=False)
    assert json.loads(strict) == json.loads(json.dumps(noisy_fit))


def test_an_interval_says_how_many_draws_hold_the_same_budgets(tmp_path: Path) -> None:
    fit = fit_study(write_study(tmp_path, noise=0.1), bootstrap=40)
    resamples = fit["laws"]["isoflop"]["resamples"]
    assert resamples["drawn"] == 40
    assert 0 < resamples["same_budgets"] < resamples["used"]
    assert f"{resamples['same_budgets']} of {resamples['used']} draws" in describe_fit(fit)


def test_a_law_without_an_interval_says_why(tmp_path: Path) -> None:
    fit = fit_study(write_study(tmp_path, spread=(0.5, 1, 2)), bootstrap=20)
    assert fit["laws"]["isoflop"]["a"] is not None
    assert fit["laws"]["isoflop"]["ci95"] is None
    assert "nothing tells their noise" in fit["reasons"]["isoflop_ci95"]


def test_minima_through_three_sizes_are_named(tmp_path: Path) -> None:
    fit = fit_study(write_study(tmp_path, spread=(0.5, 1, 2)), bootstrap=0)
    assert [minimum["sizes_used"] for minimum in fit["laws"]["isoflop"]["minima"]] == [3] * 4
    assert "4 of 4 budgets have an interior minimum (4 from 3 sizes each)" in describe_fit(fit)


@pytest.mark.parametrize("wrong", [{"bootstrap": -1}, {"seed": -1}])
def test_a_negative_count_or_seed_is_one_line(tmp_path: Path, wrong: dict[str, int]) -> None:
    write_study(tmp_path)
    with pytest.raises(UserError, match=r"(bootstrap|seed) is -1: .* 0 or more") as error:
        fit_study(tmp_path, **wrong)
    assert "\n" not in str(error.value)


def test_edges_are_named_and_give_no_power_law(tmp_path: Path) -> None:
    fit = fit_study(write_study(tmp_path, spread=(2, 4, 8, 16)), bootstrap=0)
    isoflop = fit["laws"]["isoflop"]
    assert all(minimum["edge"] for minimum in isoflop["minima"])
    assert (isoflop["a"], isoflop["b"], isoflop["ci95"]) == (None, None, None)
    assert "0 of 4 budgets with an interior minimum" in fit["reasons"]["isoflop"]
    assert "the smallest size is the lowest" in describe_fit(fit)


def test_runs_that_did_not_complete_are_counted_and_not_used(
    tmp_path: Path, exact_fit: dict[str, Any]
) -> None:
    write_study(tmp_path)
    for status in ("failed", "diverged", "interrupted"):
        write_run(tmp_path, status, status=status, loss=0.001)
    write_run(tmp_path, "no-loss", loss=None)
    write_run(tmp_path, "negative", n_params=-1)
    after = fit_study(tmp_path, bootstrap=0)
    assert after["laws"] == exact_fit["laws"]
    assert after["runs"] == 20
    counts = {"failed": 1, "diverged": 1, "interrupted": 1, "unusable": 2}
    assert after["excluded"] == counts


def test_few_runs_give_reasons_and_no_law(tmp_path: Path) -> None:
    write_run(tmp_path, "one")
    with pytest.raises(UserError, match="no law can be fitted: parametric: the 5 parameters need"):
        fit_study(tmp_path)
    fit = fit_or_reasons(tmp_path)
    assert set(fit["laws"].values()) == {None}
    assert fit["held_out"] is None
    assert set(fit["reasons"]) == {*fit["laws"], "held_out"}
    assert "no law" in describe_fit(fit)


def test_without_a_target_the_budget_is_what_was_spent(tmp_path: Path) -> None:
    write_run(tmp_path, "free", target=None, flops=7e9)
    (point,) = points(read_records(tmp_path))
    assert (point.budget, point.flops) == (7e9, 7e9)


def test_the_description_states_its_convention(noisy_fit: dict[str, Any]) -> None:
    text = describe_fit(noisy_fit)
    assert "C = 3 x forward matmul FLOPs" in text
    assert "held out: log RMSE" in text
    assert "20 complete runs" in text


def test_no_complete_run_is_one_line_that_says_what_to_do(tmp_path: Path) -> None:
    for key in ("a", "b", "c"):
        write_run(tmp_path, key, status="failed", loss=None)
    with pytest.raises(UserError, match=r"no run is complete \(3 failed\); run `vitladder train"):
        fit_study(tmp_path)
    fit = unfitted_study(tmp_path)
    assert fit["excluded"]["failed"] == 3
    assert "no run is complete" in describe_fit(fit)


def test_a_folder_that_is_not_there_or_empty_is_a_user_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no study at"):
        read_records(tmp_path / "nowhere")
    with pytest.raises(UserError, match="holds no run"):
        read_records(tmp_path)


def test_a_folder_without_a_name_gets_a_command_that_works(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds no run .* `vitladder train -m \+sweep=demo`"):
        read_records(Path())


def test_hidden_folders_and_folders_without_a_record_are_skipped(tmp_path: Path) -> None:
    write_run(tmp_path, "run")
    write_run(tmp_path, ".hidden")
    (tmp_path / "figures").mkdir()
    assert [record.run_key for record in read_records(tmp_path)] == ["run"]


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "record.json").write_text('{"schema": 1, "run_k')
    with pytest.raises(UserError, match="is not a record of vitladder") as error:
        read_records(tmp_path)
    assert str(tmp_path / "bad" / "record.json") in str(error.value)


def write_mixed(folder: Path) -> Path:
    """Two attention kernels with two seeds each, as the study `kernels` has them."""
    for number, attention in enumerate(("naive", "sdpa", "naive", "sdpa")):
        write_run(folder, f"run{number}", attention=attention, loss=1.0 + number / 100)
    return folder


def test_runs_with_other_settings_share_no_law(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"attention\.name \(naive in 2 runs, sdpa in 2 runs\)"
    ) as no:
        fit_study(write_mixed(tmp_path))
    assert "put them in different studies, with study=NAME, or fit each apart" in str(no.value)
    assert "\n" not in str(no.value)


def test_runs_of_other_data_share_no_law(tmp_path: Path) -> None:
    write_study(tmp_path)
    write_run(tmp_path, "other", data="2c3d")
    with pytest.raises(
        UserError, match=r"environment\.data \(0a1b in 20 runs, 2c3d in run other\)"
    ):
        fit_study(tmp_path)


def test_runs_that_no_law_sees_may_have_other_settings(tmp_path: Path) -> None:
    write_study(tmp_path)
    write_run(tmp_path, "failed", attention="naive", status="failed")
    write_run(tmp_path, "no-loss", attention="naive", loss=None)
    assert fit_study(tmp_path, bootstrap=0)["runs"] == 20


def test_the_command_refuses_a_mixed_study_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fit", str(write_mixed(tmp_path))]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert len(told.err.splitlines()) == 1
    assert "attention.name" in told.err


def test_a_mixed_study_has_a_page_that_says_why_it_has_no_law(tmp_path: Path) -> None:
    fit = fit_or_reasons(write_mixed(tmp_path))
    assert fit["runs"] == 4
    assert fit["laws"] == {"parametric": None, "isoflop": None, "envelope": None}
    assert "attention.name" in describe_fit(fit)
    page = write_page(tmp_path, fit, command="vitladder report").read_text(encoding="utf-8")
    said = "one law is over size, compute and seed alone, and these runs"
    assert said in page
    assert page.count("<td>complete</td>") == 4


def test_what_a_page_shows_is_the_law_where_there_is_one(
    exact: Path, exact_fit: dict[str, Any]
) -> None:
    assert fit_or_reasons(exact, bootstrap=0) == exact_fit
