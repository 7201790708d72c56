"""`vitladder sync` brings W&B just the rows of metrics.csv, also where it was interrupted."""

from __future__ import annotations

import json
import os
import signal
import time
from dataclasses import asdict
from pathlib import Path

import forked
import pytest
import yaml
from laws_study import LAW, write_study
from PIL import Image
from wandb_artifacts import Artifacts
from wandb_server import Server, numbers, processes_about

from vitladder.compose import compose_config
from vitladder.config import LoggerConfig
from vitladder.errors import UserError
from vitladder.runs.metrics import open_rows, read_rows, write_row
from vitladder.runs.record import Record, Results, write_record
from vitladder.runs.tracking import track_fit
from vitladder.runs.wandb_about import about_run, write_about
from vitladder.runs.wandb_process import only_sender
from vitladder.runs.wandb_sync import Synced, sync

STUDY = Path("outputs/study")
PLAN = {"n_params": 7, "tokens": 1.5}


def trained(folder: Path, last: int) -> None:
    """A folder as training leaves it, a row for each of so many steps; it goes on where it was."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {"study": "study", "logger": {"name": "wandb", "project": "p", "entity": None}}
    write_about(folder, about_run(config, PLAN, folder.name, "vitladder train study=study"))
    done = len(read_rows(folder))
    with open_rows(folder, last_step=done) as rows:
        for step in range(done + 1, last + 1):
            held_out = {"val_loss": 0.1 / step} if step % 10 == 0 else {}
            counts = {"step": step, "images": 2 * step, "flops": 3e9 * step}
            write_row(rows, {**counts, "train_loss": 1 / (3 + step), **held_out})


def recorded(folder: Path, status: str) -> None:
    config = {"study": "study", "logger": {"name": "wandb", "project": "p", "entity": None}}
    results = Results(val_loss=0.1 + 0.2, steps=30)
    write_record(
        folder,
        Record(folder.name, "study", status, config, PLAN, results, {}, {}, "train"),
    )


def has_all(server: Server, folder: Path) -> bool:
    run = server.runs[(folder / ".wandb-id").read_text()]
    return sorted(run.lines) == list(range(len(run.lines))) and run.rows == numbers(
        read_rows(folder)
    )


@pytest.mark.slow
def test_a_run_is_sent_as_it_grows_and_not_again(server: Server) -> None:
    here, there = STUDY / "a", STUDY / "b"
    trained(here, 20)
    trained(there, 3)
    assert sync(STUDY) == Synced(now=2)
    assert has_all(server, here)
    assert has_all(server, there)
    asked = len(server.paths)
    assert sync(STUDY) == Synced(before=2)
    assert len(server.paths) == asked
    trained(here, 30)
    recorded(here, "complete")
    assert sync(STUDY) == Synced(now=1, before=1)
    assert has_all(server, here)
    run = server.runs[(here / ".wandb-id").read_text()]
    about = {key: run.about[key] for key in ("groupName", "jobType", "displayName", "project")}
    assert list(about.values()) == ["study", "train", "a", "p"]
    assert run.config["plan.n_params"]["value"] == 7
    assert (run.summary["val/loss"], run.summary["status"]) == (0.1 + 0.2, "complete")
    assert run.about["notes"] == "vitladder train study=study"
    assert run.exit_code == 0


@pytest.mark.slow
@pytest.mark.parametrize(("then", "seconds"), [("hang", 6), (401, 60)])
def test_what_is_cut_short_goes_on_where_it_was(
    server: Server, then: str | int, seconds: float
) -> None:
    trained(STUDY / "a", 50)
    server.lines_until, server.then = 20, then
    with pytest.raises(UserError, match=r"^W&B did not take a \(.*\); the same command") as caught:
        sync(STUDY, timeout=seconds)
    assert "\n" not in str(caught.value)
    [run] = server.runs.values()
    assert len(run.lines) == 20
    server.mode, server.lines_until = "ok", None
    assert sync(STUDY) == Synced(now=1)
    assert has_all(server, STUDY / "a")


@pytest.mark.slow
def test_a_killed_sync_leaves_no_process_and_goes_on_where_it_was(server: Server) -> None:
    trained(STUDY / "a", 50)
    server.lines_until, server.then = 20, "hang"
    process = forked.start(["sync", str(STUDY)], Path(".said"))
    assert process.pid is not None
    try:
        assert server.has_fallen.wait(60)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.join()
    uploading = ("vitladder.runs.wandb_upload", str((STUDY / "a").absolute()))
    deadline = time.monotonic() + 60
    while processes_about(*uploading):
        assert time.monotonic() < deadline
    server.mode, server.lines_until = "ok", None
    assert sync(STUDY) == Synced(now=1)
    assert has_all(server, STUDY / "a")


@pytest.mark.slow
def test_what_the_server_loses_without_a_word_is_not_counted_as_sent(server: Server) -> None:
    trained(STUDY / "a", 50)
    server.lines_until, server.then = 20, "ok"
    with pytest.raises(UserError, match="Incomplete: its server stands at step 20 of 50"):
        sync(STUDY)
    server.lines_until, server.keeps_summaries = None, False
    recorded(STUDY / "a", "complete")
    with pytest.raises(UserError, match="Incomplete: its server lacks figures of its summary"):
        sync(STUDY)


@pytest.mark.slow
def test_a_run_that_another_process_sends_is_left_to_it(server: Server) -> None:
    trained(STUDY / "a", 3)
    with only_sender(STUDY / "a", seconds=0):
        assert sync(STUDY) == Synced(sending=1)
    assert server.paths == []


@pytest.mark.slow
def test_a_fit_is_sent_again_where_its_figures_have_changed(server: Server) -> None:
    STUDY.mkdir(parents=True)
    logger = LoggerConfig("wandb", "p", None)
    for alpha in (0.25, 0.5):
        track_fit(STUDY / "fit", "study", logger, {"fit/runs": 3, "fit/parametric/alpha": alpha})
        assert sync(STUDY) == Synced(now=1)
        [run] = server.runs.values()
        assert run.summary["fit/parametric/alpha"] == alpha
        assert (run.about["jobType"], run.exit_code) == ("fit", 0)
        assert sync(STUDY) == Synced(before=1)


def fit_the_study() -> None:
    """A study of 20 runs that was fitted, its fit logged offline."""
    write_study(STUDY, noise=0.01)
    forked.run("fit", str(STUDY), "--bootstrap", "40")
    track_fit(STUDY / "fit", "study", LoggerConfig("wandb", "p", None), {"fit/runs": 20})


@pytest.mark.slow
def test_a_fit_carries_its_tables_its_figures_and_its_files(server: Server) -> None:
    artifacts = server.more = Artifacts(server.url)
    fit_the_study()
    (STUDY / "figures").mkdir()
    Image.new("RGB", (8, 8)).save(STUDY / "figures" / "isoflop.png")
    (STUDY / "figures" / "nowhere.png").symlink_to("gone.png")
    assert sync(STUDY) == Synced(now=1)
    [fit] = artifacts.of_kind("fit")
    assert fit.name == "fit-study"
    assert sorted(fit.files) == ["figures/isoflop.png", "fit.json", "runs.csv"]
    for name in fit.files:
        sent = [body for path, body in server.uploads.items() if path.endswith(f"/{name}")]
        assert sent == [(STUDY / name).read_bytes()]
    [run] = server.runs.values()
    assert run.summary["fit/runs_table"]["nrows"] == 20
    assert run.summary["figures/isoflop"]["format"] == "png"
    [laws] = [json.loads(body) for path, body in server.uploads.items() if "table/fit/laws" in path]
    rows = {(row[0], row[2]): row[3:6] for row in laws["data"]}
    value, low, high = rows["parametric", "alpha"]
    assert low < value < high
    assert low < LAW.alpha < high
    # A fit has no step, so no C either.
    assert "compute/flops" not in run.summary
    # Another picture is another fit; the same one is not.
    assert sync(STUDY) == Synced(before=1)
    Image.new("RGB", (8, 8), "red").save(STUDY / "figures" / "isoflop.png")
    assert sync(STUDY) == Synced(now=1)


@pytest.mark.slow
def test_files_that_wandb_does_not_take_are_not_counted_as_sent(server: Server) -> None:
    artifacts = server.more = Artifacts(server.url)
    fit_the_study()
    artifacts.takes_files = False
    with pytest.raises(UserError, match=r"^W&B did not take fit \("):
        sync(STUDY)
    assert artifacts.of_kind("fit") == []
    artifacts.takes_files = True
    assert sync(STUDY) == Synced(now=1)
    assert len(artifacts.of_kind("fit")) == 1


@pytest.mark.slow
def test_runs_that_only_their_record_or_config_knows_are_sent(server: Server) -> None:
    """Those of older versions, and those that were killed before their record."""
    for name in "ab":
        trained(STUDY / name, 3)
        (STUDY / name / ".wandb-about.json").unlink()
    recorded(STUDY / "a", "interrupted")
    text = yaml.safe_dump(asdict(compose_config([])))
    (STUDY / "b" / "config.yaml").write_text(text)
    assert sync(STUDY) == Synced(now=2)
    assert all(has_all(server, STUDY / name) for name in "ab")
    assert {run.exit_code for run in server.runs.values()} == {1}


def test_a_study_without_a_run_for_wandb_is_one_line() -> None:
    (STUDY / "a").mkdir(parents=True)
    config = {"logger": {"name": "csv"}}
    write_record(STUDY / "a", Record("a", "s", "complete", config, {}, Results(), {}, {}, "train"))
    with pytest.raises(UserError, match="outputs/study has no run for W&B; train with"):
        sync(STUDY)
