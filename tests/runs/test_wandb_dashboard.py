"""`vitladder dashboard`: one workspace for a study, made once and then brought up to date."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import forked
import pytest
from laws_study import write_run, write_study
from PIL import Image
from wandb_server import Server

from vitladder.runs.wandb_about import FIT_JOB, About, about_run, write_about
from vitladder.runs.wandb_dashboard import dashboard
from vitladder.runs.wandb_names import NAMES

STUDY = Path("outputs/study")
Here = Callable[..., subprocess.CompletedProcess[str]]


def study(attention: str = "sdpa", key: str | None = None) -> None:
    """A study whose runs are in a lab's project, or one run more of it."""
    if key is None:
        write_study(STUDY)
    else:
        write_run(STUDY, key, attention=attention)
    for folder in [STUDY / key] if key else STUDY.iterdir():
        config = {"study": "demo", "logger": {"project": "p", "entity": None}}
        config |= {"attention": {"name": attention}, "position": {"name": "sincos2d"}}
        write_about(folder, about_run(config, {}, folder.name, "vitladder train"))


class Views:
    """What W&B does of workspaces: one of somebody else's is there already."""

    def __init__(self) -> None:
        theirs = {"id": "V0", "name": "nw-theirs-v", "displayName": "Theirs", "spec": "{}"}
        self.kept: dict[str, dict[str, Any]] = {"V0": theirs}
        self.touched: list[str] = []

    def __call__(self, query: str, given: dict[str, Any]) -> dict[str, Any] | None:
        if "upsertView" in query:
            known = given.get("id") or f"V{len(self.kept)}"
            self.touched.append(known)
            names = ("name", "displayName", "spec", "entityName", "projectName")
            self.kept[known] = {"id": known, **{name: given[name] for name in names}}
            view = {"id": known, "name": given["name"]}
            return {"upsertView": {"view": view, "inserted": "id" not in given}}
        if "allViews" in query:
            found = [one for one in self.kept.values() if one["name"] == given["viewName"]]
            return {"project": {"allViews": {"edges": [{"node": one} for one in found]}}}
        return None


@pytest.fixture
def views(server: Server) -> Views:
    """A server that knows of workspaces."""
    made = server.more = Views()
    return made


def sections(view: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """The panels of each section, as W&B keeps them."""
    spec = json.loads(view["spec"])["section"]
    return {one["name"]: one["panels"] for one in spec["panelBankConfig"]["sections"]}


def add_a_section(view: dict[str, Any], name: str) -> None:
    """What a person does in the browser."""
    spec = json.loads(view["spec"])
    bank = spec["section"]["panelBankConfig"]["sections"]
    bank.append({**bank[-1], "name": name})
    view["spec"] = json.dumps(spec)


@pytest.mark.slow
def test_it_is_made_once_and_then_brought_up_to_date(views: Views) -> None:
    study()
    first = forked.run("dashboard", str(STUDY))
    assert (first.returncode, first.stderr) == (0, "")
    assert "/e/p?nw=" in first.stdout
    [mine] = [view for known, view in views.kept.items() if known != "V0"]
    assert (mine["displayName"], mine["entityName"], mine["projectName"]) == (
        "vitladder: demo",
        "e",
        "p",
    )
    assert "Kernels and positions" not in sections(mine)
    add_a_section(mine, "My own")
    study("flash", "another")
    second = forked.run("dashboard", str(STUDY))
    assert second.stdout == first.stdout
    assert views.touched == [mine["id"]] * 2
    again = sections(views.kept[mine["id"]])
    assert "Kernels and positions" in again
    assert list(again)[-1] == "My own"
    assert len(again) == len(sections(mine)) + 1
    assert set(views.kept) == {"V0", mine["id"]}


@pytest.mark.slow
def test_one_that_cannot_be_read_is_not_written_over(views: Views) -> None:
    study()
    forked.run("dashboard", str(STUDY))
    [mine] = [view for known, view in views.kept.items() if known != "V0"]
    mine["spec"] = json.dumps({"of": "a later version"})
    again = forked.run("dashboard", str(STUDY))
    assert (again.returncode, again.stdout, again.stderr.count("\n")) == (2, "", 1)
    assert views.touched == [mine["id"]]
    assert mine["spec"] == json.dumps({"of": "a later version"})


@pytest.mark.slow
def test_wandb_gets_the_axes_and_the_runs_of_the_study_alone(views: Views) -> None:
    study()
    forked.run("dashboard", str(STUDY), "--entity", "lab", "--project", "q")
    [mine] = [view for known, view in views.kept.items() if known != "V0"]
    assert (mine["entityName"], mine["projectName"]) == ("lab", "q")
    ladder = sections(mine)["Ladder"][0]["config"]
    assert (ladder["xAxis"], ladder["yAxis"], ladder["zAxis"]) == (
        "summary:compute/flops",
        "summary:val/loss",
        "summary:model/n_params",
    )
    assert ladder["xAxisLogScale"]
    assert ladder["yAxisLogScale"]
    assert ladder["showMinYAxisLine"]
    curve = sections(mine)["Learning curves"][0]["config"]
    assert (curve["xAxis"], curve["metrics"]) == ("compute/flops", ["val/loss"])
    [runs] = json.loads(mine["spec"])["section"]["runSets"]
    [only] = runs["filters"]["filters"]
    assert (only["key"]["name"], only["op"], only["value"]) == ("group", "=", "demo")


def test_a_dry_run_prints_the_specification_and_asks_nobody(here: Here) -> None:
    study()
    (STUDY / "figures").mkdir()
    Image.new("RGB", (8, 8)).save(STUDY / "figures" / "isoflop.png")
    done = here("dashboard", str(STUDY), "--dry-run", "--entity", "lab")
    assert (done.returncode, done.stderr) == (0, "")
    shown = json.loads(done.stdout)
    assert (shown["entity"], shown["project"], shown["group"]) == ("lab", "p", "demo")
    assert [one["name"] for one in shown["sections"]] == [
        "Ladder",
        "IsoFLOP",
        "Learning curves",
        "Throughput and MFU",
        "Memory",
        "Laws",
    ]
    assert shown["sections"][-1]["panels"][-1]["y"] == ["figures/isoflop"]


def test_panels_show_what_runs_report() -> None:
    study()
    study("flash", "another")
    shown = dashboard(STUDY, None, None)
    panels = [panel for one in shown.sections if one.name != "Laws" for panel in one.panels]
    asked = {name for panel in panels for name in (*panel.y, panel.x, panel.colour) if name}
    assert asked <= {*NAMES.values(), "perf/step_ms"}
    assert {panel.group for panel in panels if panel.kind == "bars"} == {"kernel"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({"WANDB_API_KEY": ""}, "API key"),
        ({"WANDB_BASE_URL": "http://127.0.0.1:9"}, "http://127.0.0.1:9"),
    ],
    ids=["no key", "no network"],
)
@pytest.mark.usefixtures("server")
def test_what_is_missing_is_one_line(environment: dict[str, str], says: str) -> None:
    study()
    done = forked.run("dashboard", str(STUDY), environment={"HOME": str(Path.cwd()), **environment})
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("vitladder: W&B did not take the dashboard (")
    assert says in done.stderr


def test_without_the_extra_it_says_how_to_get_it(
    here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    study()
    monkeypatch.setitem(__import__("sys").modules, "wandb_workspaces", None)
    done = here("dashboard", str(STUDY))
    assert done.returncode == 2
    assert "pip install 'vitladder[dashboard]'" in done.stderr


def test_a_study_without_a_run_for_wandb_is_one_line(here: Here) -> None:
    write_study(STUDY)
    done = here("dashboard", str(STUDY), "--dry-run")
    assert (done.returncode, done.stdout) == (2, "")
    assert "outputs/study has no run for W&B; train with logger=wandb first" in done.stderr


def test_a_fit_alone_is_no_study_to_look_at(here: Here) -> None:
    about = About("p", None, "study", FIT_JOB, "study fit", config={})
    (STUDY / "fit").mkdir(parents=True)
    write_about(STUDY / "fit", about)
    done = here("dashboard", str(STUDY), "--dry-run")
    assert (done.returncode, done.stdout) == (2, "")
    assert "outputs/study has a fit for W&B, and no run; train with logger=wandb" in done.stderr


def test_no_study_is_one_line(here: Here) -> None:
    done = here("dashboard", "outputs/none")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "there is no folder outputs/none" in done.stderr
