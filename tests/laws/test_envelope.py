"""The envelope of learning curves: whose loss is least by each compute."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vitladder.laws.approaches import envelope_law
from vitladder.laws.envelope import LearningCurve, envelope, learning_curves
from vitladder.laws.law import NoLaw
from vitladder.laws.table import Table

K = 6.0


def curve(run: str, n_params: float, points: int = 40) -> LearningCurve:
    """A run of L = 0.2 + 40/N^0.5 + 400/D^0.5, logged from few images to many."""
    images = np.geomspace(1e2, 1e8, points)
    loss = 0.2 + 40 * n_params**-0.5 + 400 * images**-0.5
    return LearningCurve(run, n_params, K * n_params * images, images, loss)


@pytest.mark.parametrize("count", [9, 25])
def test_the_exponent_of_a_known_law_comes_back(count: int) -> None:
    """Also where small and large compute have seen only some of the sizes."""
    curves = [curve(f"{n:g}", n) for n in np.geomspace(1e3, 1e7, count)]
    size, data = envelope(curves).laws()
    assert size is not None
    assert data is not None
    assert (size.exponent, data.exponent) == pytest.approx((0.5, 0.5), abs=0.03)


def test_a_finished_run_stays_what_it_reached() -> None:
    small = LearningCurve(
        "s", 10.0, np.array([1.0, 10.0]), np.array([1.0, 10.0]), np.array([3.0, 1.0])
    )
    large = LearningCurve(
        "l", 90.0, np.array([50.0, 99.0]), np.array([5.0, 9.0]), np.array([2.0, 0.5])
    )
    found = envelope([small, large])
    at = {flops: int(np.argmin(np.abs(found.flops - flops))) for flops in (5.0, 60.0, 99.0)}
    assert found.losses[0, at[60.0]] == pytest.approx(1.0)
    assert np.isinf(found.losses[1, at[5.0]])
    assert found.best()[[at[5.0], at[60.0], at[99.0]]].tolist() == [0, 0, 1]


def test_a_curve_that_rises_again_keeps_its_least_loss() -> None:
    flops = np.array([1.0, 10.0, 100.0])
    bumpy = LearningCurve("b", 10.0, flops, flops, np.array([3.0, 1.0, 2.0]))
    other = LearningCurve("o", 20.0, flops, flops, np.array([2.0, 1.5, 0.5]))
    assert envelope([bumpy, other]).losses[0, -1] == pytest.approx(1.0)


def table(folder: Path | None = None) -> Table:
    rows = [
        (run, n, 6 * n * d, d, 0.2 + 40 * n**-0.5 + 400 * d**-0.5)
        for run, n in [(f"{n:.3g}", n) for n in np.geomspace(1e3, 1e6, 10)]
        for d in np.geomspace(1e3, 1e7, 9)
    ]
    columns = dict(
        zip(("run", "n_params", "flops", "images", "loss"), zip(*rows, strict=True), strict=True)
    )
    cells = {name: list(column) for name, column in columns.items()}
    if folder is not None:
        cells["folder"] = [str(folder / run) for run in cells["run"]]
    return Table("runs.csv", cells, [f"row {k + 1}" for k in range(len(rows))])


def test_rows_of_one_name_are_one_curve() -> None:
    curves = learning_curves(table())
    assert [one.run for one in curves][:2] == ["1e+03", "2.15e+03"]
    assert [len(one.flops) for one in curves] == [9] * 10


def test_a_studys_curves_are_its_metrics(tmp_path: Path) -> None:
    (tmp_path / "1e+03").mkdir()
    (tmp_path / "1e+03" / "metrics.csv").write_text(
        "step,images,flops,train_loss,val_loss\n1,64,100,2.0,\n2,128,200,1.9,1.8\n3,192,300,1.8,1.5\n"
    )
    one = table(tmp_path).rows([8, 17])
    curves = learning_curves(one)
    assert curves[0].flops.tolist() == [200, 300]
    assert curves[0].loss.tolist() == [1.8, 1.5]
    assert len(curves[1].flops) == 1


def test_the_answer_has_exponents_intervals_and_the_frontier() -> None:
    reasons: dict[str, str] = {}
    found = envelope_law(table(), 50, 0, reasons)
    assert found["a"] == pytest.approx(0.5, abs=0.1)
    assert found["ci95"]["a"][0] <= found["a"] <= found["ci95"]["a"][1]
    assert found["resamples"]["drawn"] == 50
    losses = [point["loss"] for point in found["frontier"]]
    assert losses == sorted(losses, reverse=True)


def test_one_size_has_no_envelope() -> None:
    with pytest.raises(NoLaw, match="one size is best"):
        envelope([curve("a", 1e4), curve("b", 1e4)])
