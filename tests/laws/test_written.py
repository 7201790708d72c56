"""What a fit leaves behind in a study: fit.json, runs.csv, and a W&B run if its runs have one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from laws_study import write_study

from vitladder.cli import main
from vitladder.errors import UserError
from vitladder.laws.fit import fit_study
from vitladder.laws.study import read_records
from vitladder.laws.written import read_fit, read_frontier, summary_of

WANDB = {"name": "wandb", "project": "vitladder", "entity": None}


def study(folder: Path, logger: dict[str, object] | None = None) -> Path:
    """A study whose runs were logged so."""
    write_study(folder, noise=0.003)
    for file in folder.glob("*/record.json"):
        record = json.loads(file.read_text())
        record["config"]["logger"] = logger or {"name": "csv", "project": "p", "entity": None}
        file.write_text(json.dumps(record))
    return folder


def fit(folder: Path) -> None:
    assert main(["fit", str(folder), "--bootstrap", "50"]) == 0


def sessions(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("fit/wandb/offline-run-*"))


def test_a_study_keeps_its_fit_and_its_runs(tmp_path: Path) -> None:
    folder = study(tmp_path / "demo")
    fit(folder)
    kept = read_fit(folder)
    again = json.loads(json.dumps(fit_study(folder, bootstrap=50)))
    assert kept["laws"] == again["laws"]
    assert kept["config"]["model"]["patch"] == 2
    assert len((folder / "runs.csv").read_text().splitlines()) == 21
    frontier = read_frontier(kept, folder)
    again = frontier.at(3e12)
    assert again["n_params"] == pytest.approx(
        kept["laws"]["parametric"]["frontier"][-1]["n_params"], rel=0.01
    )
    assert len(read_records(folder)) == 20
    assert not (folder / "fit").exists()


@pytest.mark.slow
def test_the_fit_of_a_logged_study_is_one_run_of_its_group(tmp_path: Path) -> None:
    folder = study(tmp_path / "demo", WANDB)
    fit(folder)
    assert len(sessions(folder)) == 1
    fit(folder)
    assert len(sessions(folder)) == 1
    fit_again = ["fit", str(folder), "--bootstrap", "50", "--drop-worst", "1"]
    assert main(fit_again) == 0
    assert len(sessions(folder)) == 2
    identities = {name.split("-")[3] for name in sessions(folder)}
    assert identities == {(folder / "fit" / ".wandb-id").read_text()}
    assert len(read_records(folder)) == 20


def test_a_dashboard_gets_flat_numbers(tmp_path: Path) -> None:
    data = fit_study(study(tmp_path / "demo"), bootstrap=0)
    summary = summary_of(data)
    assert summary["fit/parametric/alpha"] == data["laws"]["parametric"]["params"]["alpha"]
    assert summary["fit/isoflop/a"] == data["laws"]["isoflop"]["a"]
    assert summary["fit/held_out/log_rmse"] == data["held_out"]["log_rmse"]
    assert all(isinstance(value, int | float) for value in summary.values())


@pytest.mark.parametrize("text", ["", "[]", '{"schema": 1}', "{"])
def test_what_is_no_fit_is_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "fit.json").write_text(text)
    with pytest.raises(UserError, match=r"fit\.json .*; run `vitladder fit` again") as error:
        read_fit(tmp_path)
    assert "\n" not in str(error.value)


def test_a_folder_that_cannot_be_written_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = study(tmp_path / "demo")
    (tmp_path / "file").write_text("")
    assert main(["fit", str(folder), "--bootstrap", "0", "--out", str(tmp_path / "file")]) == 2
    told = capsys.readouterr()
    assert (told.out, len(told.err.splitlines())) == ("", 1)
    assert "cannot be written there" in told.err
