"""A run is one W&B run over all its sessions; uploads are counted, in time, and in order.

The server is a small one on the loopback that remembers the rows of a run; W&B's own command and
client are the real ones.
"""

from __future__ import annotations

import gzip
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from vitladder.compose import compose_config
from vitladder.errors import UserError
from vitladder.runs.tracking import Synced, make_tracker, sync


class Server(ThreadingHTTPServer):
    """What `wandb sync` needs of W&B: `rows` are (offset, row of the history) as they came in."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.rows: list[tuple[int, str]] = []
        self.paths: list[str] = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients close their connections as they like."""

    def answer(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        """Answer a GraphQL query."""
        run = {"id": "R", "name": variables.get("name"), "config": "{}", "summaryMetrics": "{}"}
        lines = {f"{kind}LineCount": 0 for kind in ("log", "events", "history")}
        if "RunResumeStatus" in query and self.rows:
            tail = json.dumps([self.rows[-1][1]])
            known = {**lines, "historyLineCount": len(self.rows), "historyTail": tail}
            bucket = {**run, **known, "eventsTail": "[]", "tags": [], "wandbConfig": '{"t": 1}'}
            return {"model": {"id": "P", "name": "p", "bucket": bucket}}
        if "UpsertBucket" in query:
            project = {"id": "P", "name": "p", "entity": {"id": "E", "name": "e"}}
            bucket = {**run, "project": project, "historyLineCount": len(self.rows)}
            return {"upsertBucket": {"bucket": bucket, "inserted": not self.rows}}
        if "CreateRunFiles" in query:
            files = [{"name": name, "uploadUrl": self.url} for name in variables["files"]]
            return {"createRunFiles": {"runID": "R", "uploadHeaders": [], "files": files}}
        return {"viewer": {"id": "U", "entity": "e", "flags": "{}"}, "serverInfo": {"features": []}}


class Handler(BaseHTTPRequestHandler):
    """One connection to the server."""

    server: Server

    def do_POST(self) -> None:
        """Take a query or rows of the history."""
        self.server.paths.append(self.path)
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        answer: dict[str, Any] = {}
        if self.path.endswith("/graphql"):
            asked = json.loads(body)
            answer = {"data": self.server.answer(asked["query"], asked.get("variables") or {})}
        elif self.path.endswith("/file_stream"):
            history = json.loads(body).get("files", {}).get("wandb-history.jsonl", {})
            for index, row in enumerate(history.get("content", [])):
                self.server.rows.append((history["offset"] + index, row))
        text = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_PUT = do_POST  # noqa: N815  # their names there

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002  # its name there
        """Stay silent."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """The server, and a W&B that knows no other."""
    with Server() as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        use(running.url, monkeypatch)
        yield running
        running.shutdown()


def use(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_BASE_URL", url)
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")


def session(folder: Path, *steps: int) -> None:
    """Train in a run's folder, as far as W&B can see."""
    folder.mkdir(parents=True, exist_ok=True)
    tracker = make_tracker(compose_config([]), {"n_params": 1}, folder.name, folder)
    tracker.start()
    for step in steps:
        tracker.log({"step": step, "images": 2 * step, "flops": 3.0 * step, "train_loss": 1 / step})
    tracker.finish(failed=False)


def offline_ids(folder: Path) -> list[str]:
    # Named offline-run-TIME-ID, with a number behind it for a second one in the same second.
    return [run.name.split("-")[3] for run in sorted(folder.glob("wandb/offline-run-*"))]


def not_yet_uploaded(folder: Path) -> Path:
    """An offline session that is not there for W&B to read."""
    offline = folder / "wandb" / "offline-run-20250101_000000-abc"
    offline.mkdir(parents=True)
    (offline / "run-abc.wandb").touch()
    return offline


@pytest.mark.slow
def test_the_sessions_of_a_run_are_one_wandb_run_and_no_other_folders(server: Server) -> None:
    here, there = Path("outputs/study/key"), Path("elsewhere/study/key")
    session(here, 10, 20, 30)
    session(here, 30, 40)
    session(there, 10)
    first, second = offline_ids(here)
    assert first == second
    assert offline_ids(there) != [first]
    assert sync(here.parent) == Synced(now=1, before=0)
    came = [(offset, json.loads(row)["step"]) for offset, row in server.rows]
    assert came == [(0, 10), (1, 20), (2, 30), (3, 30), (4, 40)]
    assert sync(here.parent) == Synced(now=0, before=1)
    assert len(server.rows) == 5


@pytest.mark.slow
def test_a_session_that_was_killed_does_not_keep_the_run_from_going_on() -> None:
    folder = Path("outputs/study/key")
    session(folder, 10)  # this process's W&B service serves the child too, and outlives it
    killed = (
        "import os, signal; from pathlib import Path; "
        "from vitladder.compose import compose_config; "
        "from vitladder.runs.tracking import make_tracker; "
        f"make_tracker(compose_config([]), {{}}, 'key', Path('{folder}')).start(); "
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", killed]).returncode == -signal.SIGKILL
    session(folder, 20)
    assert len(set(offline_ids(folder))) == 2


@pytest.mark.slow
def test_an_offline_run_sends_nothing_not_even_as_its_process_ends(server: Server) -> None:
    trains = (
        "from pathlib import Path; "
        "from vitladder.compose import compose_config; "
        "from vitladder.runs.tracking import make_tracker; "
        "tracker = make_tracker(compose_config([]), {}, 'key', Path()); "
        "tracker.start(); tracker.log({'step': 1, 'flops': 1.0}); tracker.finish(failed=False); "
        # W&B's reports of its own timings leave once a minute; their exporter is not even loaded.
        "import sys; assert 'opentelemetry.exporter.otlp' not in sys.modules"
    )
    # As a plain process: with a W&B service of its own, and W&B's reports not switched off.
    changed = ("WANDB_SERVICE", "WANDB_ERROR_REPORTING")
    environment = {key: value for key, value in os.environ.items() if key not in changed}
    subprocess.run([sys.executable, "-c", trains], check=True, env=environment)
    assert server.paths == []


@pytest.mark.slow
def test_a_server_that_does_not_answer_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    session(Path("outputs/study/key"), 10)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        use(f"http://127.0.0.1:{silent.getsockname()[1]}", monkeypatch)
        with pytest.raises(UserError, match=r"did not take .* within 5 s") as caught:
            sync(Path("outputs/study"), timeout=5)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_what_wandb_does_not_mark_as_uploaded_is_not_counted(server: Server) -> None:
    not_yet_uploaded(Path("outputs/study/key"))
    with pytest.raises(UserError, match="W&B did not take offline-run-20250101_000000-abc: "):
        sync(Path("outputs/study"))


def test_uploaded_runs_are_counted_apart_and_not_sent_again() -> None:
    offline = not_yet_uploaded(Path("outputs/study/key"))
    (offline / "run-abc.wandb.synced").touch()
    assert sync(Path("outputs/study")) == Synced(now=0, before=1)
