"""From a fit to what to train: sizes that can be built, overrides that plan takes."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws_study import LAW, write_study

from vitladder.buildable import base_of, nearest
from vitladder.cli import main
from vitladder.compose import compose_config
from vitladder.errors import UserError
from vitladder.laws.design import Candidate, choose, log_loss_gradient, log_n_gradient
from vitladder.laws.forms import split
from vitladder.laws.frontier import Frontier

K = 96.0
POINT = np.array([LAW.E, LAW.A, LAW.alpha, LAW.B, LAW.beta])


@pytest.fixture(scope="session")
def fitted_study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of a known law with some noise, fitted once."""
    folder = write_study(tmp_path_factory.mktemp("fitted") / "demo", noise=0.003)
    assert main(["fit", str(folder), "--law", "parametric", "--bootstrap", "200"]) == 0
    return folder


@pytest.fixture
def study(fitted_study: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """Its copy in a test's own folder."""
    folder = Path("outputs/demo")
    shutil.copytree(fitted_study, folder)
    capsys.readouterr()
    return folder


def answer(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict:
    assert main([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_the_optimum_of_a_known_law_is_prescribed(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = answer(capsys, "prescribe", str(study), "--flops", "3e12")
    n, d, loss = (float(x[0]) for x in split(POINT[None], 3e12, K))
    assert found["optimum"]["n_params"] == pytest.approx(n, rel=0.1)
    assert found["optimum"]["images"] == pytest.approx(d, rel=0.1)
    assert found["optimum"]["loss"] == pytest.approx(loss, rel=0.05)
    assert found["times_the_largest_run"] == pytest.approx(10, rel=0.01)
    low, high = found["optimum"]["ci95"]["n_params"]
    assert low < n < high
    assert found["within"]["n_params"] >= high / found["optimum"]["n_params"] - 1e-9


def test_the_model_is_one_that_plan_takes_as_it_is(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = answer(capsys, "prescribe", str(study), "--flops", "3e12")["model"]
    planned = answer(capsys, "plan", *model["overrides"])["runs"][0]
    for name in ("n_params", "images", "steps", "flops"):
        assert planned[name] == model[name]
    assert "study=demo" in model["overrides"]
    assert "model.patch=2" not in model["overrides"]  # the default already


def test_scaled_columns_prescribe_the_same(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plain = answer(capsys, "prescribe", str(study), "--flops", "3e12")
    told = answer(capsys, "suggest", str(study), "--budget", "1e12")
    scales = ("n_params=1e3", "images=1e5", "flops=1e9", "loss=2")
    options = [part for scale in scales for part in ("--scale", scale)]
    ask = ("--law", "parametric", "--bootstrap", "200")
    assert main(["fit", str(study), *ask, *options]) == 0
    capsys.readouterr()
    scaled = answer(capsys, "prescribe", str(study), "--flops", "3e12")
    assert scaled["model"]["overrides"] == plain["model"]["overrides"]
    assert scaled["optimum"]["n_params"] == pytest.approx(plain["optimum"]["n_params"], rel=1e-6)
    assert scaled["optimum"]["loss"] == pytest.approx(plain["optimum"]["loss"], rel=1e-6)
    again = answer(capsys, "suggest", str(study), "--budget", "1e12")
    assert [one["overrides"] for one in again["runs"]] == [one["overrides"] for one in told["runs"]]


def test_words_are_a_command(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prescribe", str(study), "--flops", "3e12", "data.batch_size=32"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert "10 times the largest run" in said[0]
    assert said[1].startswith("  N* within x")
    assert "steps of 32" in said[2]
    words = shlex.split(said[-1])
    assert words[:2] == ["vitladder", "train"]
    assert compose_config(words[2:]).data.batch_size == 32


def test_runs_that_tell_most_are_within_the_budget_and_new(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = answer(capsys, "suggest", str(study), "--budget", "1e12")
    assert found["target"] == pytest.approx(3e12, rel=0.01)
    assert found["flops"] <= 1e12
    assert 0 < found["narrower"] < 1
    assert len({tuple(run["overrides"]) for run in found["runs"]}) == len(found["runs"]) > 0
    for run in found["runs"]:
        assert answer(capsys, "plan", *run["overrides"])["runs"][0]["n_params"] == run["n_params"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["prescribe", "nowhere", "--flops", "1e12"], "no nowhere"),
        (["prescribe", "outputs/demo", "--flops", "-1"], "--flops -1: give a number"),
        (["prescribe", "outputs/demo", "--flops", "x"], "invalid float value: 'x'"),
        (["prescribe", "outputs/demo"], "--flops"),
        (["prescribe", "outputs/demo", "--flops", "1e12", "model.width=64"], "is prescribed"),
        (["prescribe", "outputs/demo", "--flops", "1e12", "modell.patch=4"], "model"),
        (["suggest", "outputs/demo", "--budget", "0"], "--budget 0: give a number"),
        (["prescribe", "outputs/demo/runs.csv", "--flops", "1e12"], "is not a fit of vitladder"),
    ],
)
@pytest.mark.usefixtures("study")
def test_bad_questions_are_one_line(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    told = capsys.readouterr()
    assert (told.out, len(told.err.splitlines())) == ("", 1)
    assert said in told.err


def test_a_fit_that_cannot_split_compute_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    n = np.geomspace(1e6, 1e10, 25)
    loss = LAW.loss(n, 20 * n) * np.exp(0.002 * np.random.default_rng(0).standard_normal(25))
    rows = [f"{a},{20 * a},{120 * a * a},{y}" for a, y in zip(n, loss, strict=True)]
    Path("runs.csv").write_text("\n".join(["n_params,tokens,flops,loss", *rows]))
    assert main(["fit", "runs.csv", "--law", "parametric", "--out", "fit"]) == 0
    capsys.readouterr()
    assert main(["prescribe", "fit", "--flops", "1e21"]) == 2
    assert "alpha and beta cannot be told apart" in capsys.readouterr().err


@pytest.mark.parametrize("n_params", [3e5, 5e6, 2.2e7, 8.6e7, 6.3e8, 2e9])
def test_sizes_of_vits_are_met(n_params: float) -> None:
    base = base_of(None, ["model=s16", "model.channels=3", "model.classes=1000"])
    built = nearest(base, n_params, 1e16)
    assert built.plan.n_params == pytest.approx(n_params, rel=0.25)
    assert built.config.model.width % 64 == 0
    assert built.config.model.width // (built.config.model.heads or 0) == 64
    assert built.hidden == 4 * built.config.model.width


def test_what_a_study_shares_is_said_and_its_defaults_are_not() -> None:
    recorded = {
        "model": {
            "width": 16,
            "depth": 2,
            "patch": 8,
            "image_size": 32,
            "channels": 3,
            "classes": 10,
        },
        "data": {"name": "parquet", "path": "my images/cifar10", "batch_size": 64},
        "optim": {"name": "adamw", "lr": 0.02, "betas": [0.9, 0.95]},
        "attention": {"name": "naive"},
    }
    overrides = base_of(recorded, []).overrides
    assert set(overrides) == {
        "attention=naive",
        "data=parquet",
        "data.path='my images/cifar10'",
        "model.patch=8",
        "model.image_size=32",
        "model.channels=3",
        "model.classes=10",
        "optim.lr=0.02",
        "optim.betas=[0.9,0.95]",
    }
    assert compose_config(overrides).data.path == "my images/cifar10"


def test_a_small_study_gets_a_small_model() -> None:
    built = nearest(base_of(None, []), 3e3, 1e10)
    assert built.config.model.width < 64
    assert built.plan.n_params == pytest.approx(3e3, rel=0.3)


@given(st.floats(0.2, 1), st.floats(1e7, 1e12), st.floats(0.3, 0.8), st.floats(0.3, 0.8))
def test_the_gradient_of_the_optimum_is_its_slope(
    e: float, flops: float, alpha: float, beta: float
) -> None:
    law = np.array([e, 50.0, alpha, 800.0, beta])
    gradient = log_n_gradient(law, flops, K)
    for index in range(5):
        moved = [law.copy(), law.copy()]
        step = 1e-6
        for one, sign in zip(moved, (1, -1), strict=True):
            one[index] = (
                one[index] * np.exp(sign * step) if index in (0, 1, 3) else law[index] + sign * step
            )
        high, low = (float(np.log(split(one[None], flops, K)[0][0])) for one in moved)
        assert gradient[index] == pytest.approx((high - low) / (2 * step), rel=1e-4, abs=1e-4)


def test_the_gradient_of_the_loss_is_its_slope() -> None:
    n, d = np.array([3e3, 2e5]), np.array([1e5, 4e6])
    slopes = log_loss_gradient(POINT, n, d)
    moved = POINT.copy()
    moved[2] += 1e-7
    change = np.log(LAW.E + LAW.A * n ** -moved[2] + LAW.B * d**-LAW.beta) - np.log(LAW.loss(n, d))
    assert slopes[:, 2] == pytest.approx(change / 1e-7, rel=1e-4)


def test_no_single_run_tells_more_per_flop_than_the_first_that_is_chosen() -> None:
    done = tuple(np.random.default_rng(0).uniform(3, 6, (2, 12)))
    done = (10 ** done[0], 10 ** done[1])
    frontier = Frontier(POINT, np.empty((0, 5)), K, (1e9, 1e11))
    sizes = np.geomspace(1e3, 1e6, 8)
    candidates = [Candidate(n, c / (K * n), c) for n in sizes for c in (1e10, 1e11)]
    design = choose(frontier, done, 0.01, candidates, 1e12, 1e10)
    assert design.after < design.before
    assert sum(candidates[one].flops for one in design.chosen) <= 1e10

    def after(one: Candidate) -> float:
        slopes = log_loss_gradient(
            POINT, np.append(done[0], one.n_params), np.append(done[1], one.images)
        )
        information = slopes.T @ slopes / 0.01**2
        direction = log_n_gradient(POINT, 1e12, K)
        return float(np.sqrt(direction @ np.linalg.solve(information, direction)))

    affordable = [one for one in candidates if one.flops <= 1e10]
    assert design.after == pytest.approx(min(after(one) for one in affordable), rel=1e-3)


def test_another_patch_has_an_optimum_of_its_own(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """C = k N D with a k of its own: with fewer tokens an image costs less."""
    usual = answer(capsys, "prescribe", str(study), "--flops", "3e12")
    other = answer(capsys, "prescribe", str(study), "--flops", "3e12", "model.patch=4")
    k = other["flops_per_param_image"]
    assert k["model"] < 0.6 * k["runs"]
    assert other["optimum"]["n_params"] > 1.2 * usual["optimum"]["n_params"]
    images, best = other["model"]["images"], other["optimum"]["images"]
    assert images == pytest.approx(best, rel=0.3)
    assert main(["prescribe", str(study), "--flops", "3e12", "model.patch=4"]) == 0
    assert "another patch or count of FLOPs" in capsys.readouterr().out


def test_shared_heads_stay_shared() -> None:
    recorded = {"model": {"width": 512, "depth": 8, "heads": 8, "kv_heads": 2}}
    base = base_of(recorded, ["model=s16", "model.channels=3", "model.classes=1000"])
    models = [nearest(base, n, 1e16).config.model for n in (1e7, 3e7, 6e7, 1e8, 2e8, 4e8)]
    shared = [one for one in models if (one.heads or 0) % 4 == 0]
    assert shared
    assert all(4 * (one.kv_heads or 0) == one.heads for one in shared)
    assert all(one.kv_heads == one.heads for one in models if one not in shared)


def test_greedy_choices_see_those_before_them() -> None:
    """What two runs leave is what information with both of them says."""
    done = (10 ** np.array([3.0, 4, 5, 4, 5, 6]), 10 ** np.array([4.0, 5, 6, 6, 4, 5]))
    frontier = Frontier(POINT, np.empty((0, 5)), K, (1e9, 1e11))
    candidates = [Candidate(n, 1e10 / (K * n), 1e10) for n in np.geomspace(1e3, 1e6, 8)]
    design = choose(frontier, done, 0.01, candidates, 1e12, 2e10)
    assert len(design.chosen) == 2
    chosen = [candidates[one] for one in design.chosen]
    slopes = log_loss_gradient(
        POINT,
        np.append(done[0], [one.n_params for one in chosen]),
        np.append(done[1], [one.images for one in chosen]),
    )
    direction = log_n_gradient(POINT, 1e12, K)
    exact = direction @ np.linalg.solve(slopes.T @ slopes / 0.01**2, direction)
    assert design.after == pytest.approx(float(np.sqrt(exact)), rel=1e-3)


def test_a_law_without_a_limit_can_be_asked_too(capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    n, d = 10 ** rng.uniform(3, 6, 30), 10 ** rng.uniform(5, 8, 30)
    loss = (60 * n**-0.5 + 900 * d**-0.55 - 0.01) * np.exp(0.003 * rng.standard_normal(30))
    rows = [f"{a},{b},{6 * a * b},{y}" for a, b, y in zip(n, d, loss, strict=True) if y > 0]
    Path("runs.csv").write_text("\n".join(["n_params,images,flops,loss", *rows]))
    assert main(["fit", "runs.csv", "--law", "parametric", "--out", "fit"]) == 0
    capsys.readouterr()
    assert main(["suggest", "fit", "--budget", "1e13"]) == 0
    assert "narrow the interval" in capsys.readouterr().out


def test_what_json_prints_is_a_fit(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ask = ("--law", "parametric", "--bootstrap", "200")
    printed = answer(capsys, "fit", str(study), *ask)
    Path("mine.json").write_text(json.dumps(printed))
    found = answer(capsys, "prescribe", "mine.json", "--flops", "3e12")
    assert found == answer(capsys, "prescribe", str(study), "--flops", "3e12")


def test_a_refused_override_names_itself() -> None:
    with pytest.raises(UserError, match="data"):
        base_of(None, ["dta.batch_size=4"])
