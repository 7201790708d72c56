"""A small W&B on the loopback that remembers runs, and can be as ill as a real one."""

from __future__ import annotations

import gzip
import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from vitladder.runs.wandb_names import NAMES

KEY = "0123456789abcdef" * 2 + "plantedd"


FOLLOWS = ("data/tokens", "perf/step_ms")


@dataclass
class Run:
    """What came of one run: its history by line, its last summary, what it was called."""

    about: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    lines: dict[int, str] = field(default_factory=dict)
    exit_code: int | None = None

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The history in order, without what W&B's client adds and what follows from the others."""
        whole = [json.loads(self.lines[line]) for line in sorted(self.lines)]
        kept = [[key for key in row if key[0] != "_" and key not in FOLLOWS] for row in whole]
        return [{key: row[key] for key in keys} for keys, row in zip(kept, whole, strict=True)]

    @property
    def axes(self) -> dict[str, str]:
        """Over what each metric is drawn, as W&B keeps it: numbered fields of its own format."""
        metrics = self.config["_wandb"]["value"]["m"]
        names = [metric.get("1") or metric.get("2") for metric in metrics]
        return {
            name: names[metric["5"] - 1]
            for name, metric in zip(names, metrics, strict=True)
            if "5" in metric
        }


class Server(ThreadingHTTPServer):
    """What W&B's client needs of W&B. `mode` is ok, hang, reset, or the status of all answers.

    `lines_until` is of how many lines of history it takes before it falls to `then`.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.mode: str | int = "ok"
        self.lines_until: int | None = None
        self.then: str | int = "reset"
        self.keeps_summaries = True
        self.runs: dict[str, Run] = {}
        self.more: Callable[[str, dict[str, Any]], dict[str, Any] | None] = lambda query, given: (
            None
        )
        self.paths: list[str] = []
        self.uploads: dict[str, bytes] = {}
        self.has_run = threading.Event()
        self.has_fallen = threading.Event()
        self.closing = threading.Event()
        self.lock = threading.Lock()
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients close their connections as they like."""

    def query(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        """Answer a GraphQL query."""
        if (answer := self.more(query, variables)) is not None:
            return answer
        name = variables.get("name") or variables.get("run") or "none"
        if "UpsertBucket" in query:
            return self._upsert(name, variables)
        run = self.runs.get(name)
        if "RunResumeStatus" in query or "HistoryTail" in query:
            return {"model": {"id": "P", "name": "p", "bucket": run and _resumed(name, run)}}
        if "CreateRunFiles" in query:
            files = [
                {"name": name, "uploadUrl": f"{self.url}/upload/{name}"}
                for name in variables["files"]
            ]
            return {"createRunFiles": {"runID": "R", "uploadHeaders": [], "files": files}}
        return {"viewer": {"id": "U", "entity": "e", "flags": "{}"}, "serverInfo": {"features": []}}

    def _upsert(self, name: str, variables: dict[str, Any]) -> dict[str, Any]:
        inserted = name not in self.runs
        run = self.runs.setdefault(name, Run())
        self.has_run.set()
        run.about |= {key: value for key, value in variables.items() if value is not None}
        run.config |= json.loads(variables.get("config") or "{}")
        if self.keeps_summaries:
            run.summary |= json.loads(variables.get("summaryMetrics") or "{}")
        project = {"id": "P", "name": run.about["project"], "entity": {"id": "E", "name": "e"}}
        bucket = {**_bucket(name, run), "project": project}
        return {"upsertBucket": {"bucket": bucket, "inserted": inserted}}

    def stream(self, name: str, body: dict[str, Any]) -> None:
        """Take lines of history and of the summary, as the client counts them."""
        run = self.runs.setdefault(name, Run())
        files = body.get("files") or {}
        history = files.get("wandb-history.jsonl", {})
        for index, line in enumerate(history.get("content", [])):
            if self.lines_until is not None and self._lines() >= self.lines_until:
                self.mode = self.then
                self.has_fallen.set()
                return
            run.lines[history["offset"] + index] = line
        for line in files.get("wandb-summary.json", {}).get("content", []):
            run.summary |= json.loads(line) if self.keeps_summaries else {}
        if body.get("complete"):
            run.exit_code = body.get("exitcode")

    def _lines(self) -> int:
        return sum(len(run.lines) for run in self.runs.values())


def _bucket(name: str, run: Run) -> dict[str, Any]:
    return {
        "id": "R",
        "name": name,
        "displayName": name,
        "config": "{}",
        "summaryMetrics": json.dumps(run.summary),
        "historyLineCount": len(run.lines),
    }


def _resumed(name: str, run: Run) -> dict[str, Any]:
    tail = [run.lines[max(run.lines)]] if run.lines else []
    nothing = {"logLineCount": 0, "eventsLineCount": 0, "eventsTail": "[]", "tags": []}
    told = {"wandbConfig": '{"t": 1}', "config": json.dumps(run.config)}
    known = {"historyTail": json.dumps(tail), **told}
    return {**_bucket(name, run), **nothing, **known}


class Handler(BaseHTTPRequestHandler):
    """One connection to the server."""

    server: Server
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Take a query or rows of the history, in the mode of the moment."""
        self.server.paths.append(self.path)
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        answer: dict[str, Any] = {}
        with self.server.lock:
            if self.server.mode == "ok":
                answer = self._answer(body)
            mode = self.server.mode
        if mode == "hang":
            self.server.closing.wait()
        elif mode == "reset":
            self._reset()
        else:
            refused = self.path.startswith("/refused/")
            self._say(403 if refused else 200 if mode == "ok" else int(mode), answer)

    do_GET = do_PUT = do_POST  # noqa: N815  # their names there

    def _answer(self, body: bytes) -> dict[str, Any]:
        if self.path.endswith("/graphql"):
            asked = json.loads(body)
            return {"data": self.server.query(asked["query"], asked.get("variables") or {})}
        if self.path.endswith("/file_stream"):
            self.server.stream(self.path.split("/")[-2], json.loads(body))
        if self.path.startswith("/upload/"):
            self.server.uploads[self.path.removeprefix("/upload/")] = body
        return {}

    def _reset(self) -> None:
        self.close_connection = True
        at_once = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
        self.connection.close()

    def _say(self, status: int, answer: dict[str, Any]) -> None:
        text = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002  # its name there
        """Stay silent."""


def numbers(rows: list[dict[str, str]]) -> list[dict[str, float]]:
    """Rows of metrics.csv as W&B should have them."""
    return [{NAMES.get(key, key): float(text) for key, text in row.items() if text} for row in rows]


def processes_about(*words: str) -> list[int]:
    """Those that run and have all these words in their command line."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if set(words) < set((entry / "cmdline").read_text().split("\0")):
                found.append(int(entry.name))
        except OSError:
            continue  # it ended while we looked
    return found


@contextmanager
def serving() -> Iterator[Server]:
    """A server that runs within this block."""
    with Server() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server
        finally:
            server.closing.set()
            server.shutdown()


def environment(url: str) -> dict[str, str]:
    """What lets W&B's client know this server only."""
    return {"WANDB_BASE_URL": url, "WANDB_API_KEY": KEY, "WANDB_ERROR_REPORTING": "false"}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """The server, and a W&B that knows no other."""
    with serving() as running:
        for name, value in environment(running.url).items():
            monkeypatch.setenv(name, value)
        yield running
