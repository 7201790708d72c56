"""The sweeps of sweeps/wandb: W&B's client takes them, and its agent trains what they say."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from wandb_server import Server, numbers

from vitladder.compose import compose_config
from vitladder.config import Config
from vitladder.runs.metrics import read_rows
from vitladder.runs.wandb_about import about_run

Here = Callable[..., subprocess.CompletedProcess[str]]
SWEEPS = Path(__file__).parents[2] / "sweeps" / "wandb"
METHODS = ("bayes", "grid", "random")


class Sweeps:
    """What W&B does of a sweep: keeps it, and tells an agent to train one run of it."""

    def __init__(self) -> None:
        self.config: dict[str, Any] = {}
        self.command: dict[str, Any] | None = None

    def __call__(self, query: str, given: dict[str, Any]) -> dict[str, Any] | None:
        if "upsertSweep" in query:
            self.config = yaml.safe_load(given["config"])
            self.command = _first_run(self.config)
            project = {"id": "P", "name": given["projectName"], "entity": {"id": "E", "name": "e"}}
            sweep = {"name": "sweep1", "project": project}
            return {"upsertSweep": {"sweep": sweep, "configValidationWarnings": []}}
        if "SweepWithRuns" in query:
            told = {"id": "S", "name": "sweep1", "config": yaml.safe_dump(self.config)}
            return {"project": {"sweep": {**told, "state": "RUNNING", "runs": {"edges": []}}}}
        if "CreateAgent" in query:
            return {"createAgent": {"agent": {"id": "A"}}}
        if "agentHeartbeat" in query:
            commands, self.command = ([self.command] if self.command else []), None
            return {"agentHeartbeat": {"agent": {"id": "A"}, "commands": json.dumps(commands)}}
        return None


def _first_run(config: dict[str, Any]) -> dict[str, Any]:
    values = {name: _least(space) for name, space in config["parameters"].items()}
    args = {name: {"value": value} for name, value in values.items()}
    return {"type": "run", "run_id": "drawnbywandb", "program": config["program"], "args": args}


def _least(space: dict[str, Any]) -> Any:
    return space["values"][0] if "values" in space else space["min"]


@pytest.fixture
def sweeps(server: Server) -> Sweeps:
    """A server that knows of sweeps."""
    made = server.more = Sweeps()
    return made


def wandb(*arguments: str) -> subprocess.CompletedProcess[str]:
    """W&B's own command, which finds ours beside it."""
    beside = Path(sys.executable).parent
    known = {**os.environ, "PATH": f"{beside}{os.pathsep}{os.environ['PATH']}"}
    return subprocess.run(
        [beside / "wandb", *arguments], env=known, capture_output=True, text=True, check=False
    )


def trained_by(config: dict[str, Any]) -> Config:
    """What the command line of a sweep's first run asks for, as an agent would write it."""
    values = _first_run(config)["args"]
    given = [f"{name}={value['value']}" for name, value in values.items()]
    words = [word for one in config["command"] for word in (given if "args" in one else [one])]
    assert words[:3] == ["${env}", "vitladder", "train"]
    return compose_config(words[3:])


@pytest.mark.parametrize("method", METHODS)
def test_a_sweep_is_of_settings_and_minimises_what_runs_report(method: str) -> None:
    config = yaml.safe_load((SWEEPS / f"{method}.yaml").read_text())
    assert config["method"] == method
    assert config["metric"] == {"name": "val/loss", "goal": "minimize"}
    asked = trained_by(config)
    assert asked.compute.flops == 5e9
    assert asked.logger.name == "wandb_online"
    assert asked.study == f"wandb-{method}"
    assert (asked.optim.lr, asked.ladder.relative) == (
        _least(config["parameters"]["optim.lr"]),
        _least(config["parameters"]["ladder.relative"]),
    )


def taken(method: str) -> None:
    made = wandb("sweep", "--project", "theirs", str(SWEEPS / f"{method}.yaml"))
    assert made.returncode == 0, made.stderr
    assert "WARNING" not in made.stderr


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_wandb_takes_the_sweep(sweeps: Sweeps, method: str) -> None:
    taken(method)
    assert sweeps.config["method"] == method


@pytest.mark.slow
@pytest.mark.usefixtures("sweeps")
def test_wandbs_agent_trains_a_run_of_the_sweep(server: Server) -> None:
    taken("bayes")
    done = wandb("agent", "--count", "1", "e/theirs/sweep1")
    assert done.returncode == 0, done.stderr
    [folder] = [file.parent for file in Path("outputs/wandb-bayes").glob("*/record.json")]
    assert (folder / ".wandb-id").read_text() == "drawnbywandb"
    run = server.runs["drawnbywandb"]
    assert run.rows == numbers(read_rows(folder))
    assert run.exit_code == 0
    assert (run.about["project"], run.about["entity"]) == ("theirs", "e")
    assert run.about["sweep"] == "sweep1"
    assert 0 < run.summary["val/loss"] < 3
    # Later, and elsewhere, its rows still go where its sweep is.
    about = json.loads((folder / ".wandb-about.json").read_text())
    assert (about["project"], about["entity"]) == ("theirs", "e")


@pytest.mark.parametrize("logger", ["wandb", "wandb_online"])
def test_a_run_goes_to_no_project_that_nobody_knows(
    here: Here, monkeypatch: pytest.MonkeyPatch, logger: str
) -> None:
    monkeypatch.setenv("WANDB_SWEEP_ID", "sweep1")
    done = here("train", "compute.steps=1", f"logger={logger}", "logger.entity=lab")
    assert (done.returncode, done.stdout) == (2, "")
    assert "`wandb agent ENTITY/PROJECT/SWEEP`" in done.stderr


def test_a_sweep_without_an_entity_is_of_the_users_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_SWEEP_ID", "sweep1")
    monkeypatch.setenv("WANDB_PROJECT", "theirs")
    config = {"study": "s", "logger": {"project": "ours", "entity": "lab"}}
    about = about_run(config, {}, "key", "vitladder train")
    assert (about.project, about.entity) == ("theirs", None)


def test_an_agent_asks_for_one_run(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_SWEEP_ID", "sweep1")
    done = here("train", "-m", "seed=0,1")
    assert (done.returncode, done.stdout) == (2, "")
    assert "train -m: an agent of a W&B sweep asks for one run" in done.stderr
