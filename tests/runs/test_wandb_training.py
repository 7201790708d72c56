"""Whatever W&B's server does, training ends as without it, and `vitladder sync` brings the rows."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import forked
import pytest
from wandb_server import KEY, Server, environment, numbers, processes_about, serving

from vitladder.runs.metrics import read_rows
from vitladder.runs.record import read_record

MODES = ("ok", 401, 500, 429, "hang", "reset", "unreachable")
TRAIN = ("train", "study=s", "model.width=8", "model.depth=1", "evaluations=1")
# Nobody listens there.
NOWHERE = "http://127.0.0.1:9"
MODULE = "vitladder.runs.wandb_follow"
SPEEDS = ("images_per_s", "mfu")


@dataclass(frozen=True)
class Trained:
    """A training that has ended: what it said, and its run's folder."""

    server: Server
    exit_code: int | None
    said: str
    folder: Path

    def sync(self) -> str:
        """Send what W&B lacks, and return what was said."""
        given = environment(self.server.url)
        done = forked.run("sync", str(self.folder.parent), environment=given)
        return done.stdout + done.stderr

    @property
    def has_all(self) -> bool:
        """Whether W&B has just the rows of metrics.csv."""
        [run] = self.server.runs.values()
        return run.rows == numbers(read_rows(self.folder))


@pytest.fixture(scope="module")
def trainings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str | int, Trained]]:
    """A training for each of W&B's ills, and one with logger=csv, all at the same time."""
    with ExitStack() as stack:
        begun = {}
        for mode in (*MODES, "csv"):
            server = stack.enter_context(serving())
            server.mode = "ok" if mode in ("unreachable", "csv") else mode
            logger = "csv" if mode == "csv" else "wandb_online"
            folder = tmp_path_factory.mktemp(str(mode))
            given = environment(NOWHERE if mode == "unreachable" else server.url)
            arguments = (*TRAIN, "compute.steps=30", "log_every=1", f"logger={logger}")
            process = forked.start(arguments, folder / "said", folder=folder, environment=given)
            begun[mode] = (server, process, folder)
        yield {mode: _ended(*started) for mode, started in begun.items()}


def _ended(server: Server, process: ForkServerProcess, folder: Path) -> Trained:
    process.join(100)
    server.mode = "ok"
    said = "".join((folder / f"said.{end}").read_text() for end in ("out", "err"))
    [run] = (folder / "outputs" / "s").glob("*/record.json")
    return Trained(server, process.exitcode, said, run.parent)


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_training_ends_as_with_csv(trainings: dict[str | int, Trained], mode: str | int) -> None:
    ill, usual = trainings[mode], trainings["csv"]
    assert (ill.exit_code, usual.exit_code) == (0, 0)
    rows = [read_rows(trained.folder) for trained in (ill, usual)]
    for row in (*rows[0], *rows[1]):
        for speed in SPEEDS:
            row.pop(speed)
    assert rows[0] == rows[1]
    records = [read_record(trained.folder) for trained in (ill, usual)]
    results = [record.results for record in records if record]
    assert results[0].val_loss == results[1].val_loss
    warned = [line for line in ill.said.splitlines() if "W&B lacks rows of this run (" in line]
    logged = (ill.folder / "train.log").read_text().count("W&B lacks rows of this run (")
    # All at the same time, they may leave a server that is well too little of it.
    assert len(warned) == logged
    assert logged == 1 or mode == "ok"
    assert "only the tracker failed" not in (ill.folder / "train.log").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["ok", 401, "hang"])
def test_sync_brings_the_rows(trainings: dict[str | int, Trained], mode: str | int) -> None:
    trained = trainings[mode]
    assert trained.sync() == "W&B runs uploaded: 1 now, 0 before\n"
    assert trained.has_all


@pytest.mark.slow
def test_dashboards_find_a_run_by_what_it_is(trainings: dict[str | int, Trained]) -> None:
    [run] = trainings["ok"].server.runs.values()
    assert run.about["tags"] == [
        "attention=sdpa",
        "position=sincos2d",
        "precision=fp32",
        "parallel=single",
    ]
    assert run.about["notes"].startswith("vitladder train study=s model.width=8")
    assert (run.about["groupName"], run.about["jobType"]) == ("s", "train")
    assert run.config["model.width"]["value"] == 8
    assert {run.axes[name] for name in ("*", "val/loss") if name in run.axes} == {"compute/flops"}
    last = json.loads(run.lines[max(run.lines)])
    assert last["data/tokens"] == 16 * last["data/images"]
    assert last["perf/step_ms"] == pytest.approx(64_000 / last["perf/images_per_s"])


@pytest.mark.slow
def test_the_key_is_written_nowhere(trainings: dict[str | int, Trained], tmp_path: Path) -> None:
    offline = forked.run(
        *TRAIN, "compute.steps=2", "logger=wandb", environment=environment(NOWHERE)
    )
    assert KEY not in offline.stdout + offline.stderr
    folders = [trained.folder.parents[2] for trained in trainings.values()]
    files = [file for top in (tmp_path, *folders) for file in top.rglob("*") if file.is_file()]
    assert any(file.suffix == ".wandb" for file in files)
    assert [file for file in files if KEY.encode() in file.read_bytes()] == []


@pytest.mark.slow
def test_a_killed_training_leaves_no_process_and_all_its_rows(tmp_path: Path) -> None:
    with serving() as server:
        given = environment(server.url)
        arguments = (*TRAIN, "compute.steps=1e6", "log_every=100", "logger=wandb_online")
        process = forked.start(arguments, tmp_path / "said", environment=given)
        assert process.pid is not None
        try:
            assert server.has_run.wait(60)
            [folder] = Path("outputs/s").absolute().glob("*/")
            [sender] = processes_about(MODULE, str(folder))
            [service] = processes_about("--pid", str(sender))
        finally:
            os.kill(process.pid, signal.SIGKILL)
            process.join()
        deadline = time.monotonic() + 60
        while {sender, service} & set(processes_about()):
            assert time.monotonic() < deadline
        trained = Trained(server, None, "", folder)
        assert trained.sync() == "W&B runs uploaded: 1 now, 0 before\n"
        assert trained.has_all
