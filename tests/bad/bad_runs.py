"""The words that a case of bad runs is written in: what lies there, the command, its one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from laws_study import write_run, write_study

STUDY = Path("study")
RUN = STUDY / "a"
RECORD = RUN / "record.json"
TRAIN = ("train", "compute.steps=1", "logger=csv", "threads=1", "model=micro-8")

FIT = ("fit", "study")
REPORT = ("report", "study")
PRESCRIBE = ("prescribe", "study", "--flops", "1e12")
SUGGEST = ("suggest", "study", "--budget", "1e12")
TABLE = ("fit", "runs.csv", "--bootstrap", "0")

HEAD = "n_params,images,flops,loss"


@dataclass(frozen=True)
class Case:
    """What lies in the working folder, the command, and the words that its one line must hold."""

    name: str
    write: Callable[[], Any]
    command: tuple[str, ...]
    says: tuple[str, ...]


def nothing() -> None:
    """Write nothing at all."""


def all_of(*writes: Callable[[], Any]) -> Callable[[], None]:
    """One thing after another."""

    def write() -> None:
        for one in writes:
            one()

    return write


def three_runs() -> None:
    """A study of three sound runs, of which `a` is the first."""
    for k, key in enumerate("abc"):
        write_run(STUDY, key, n_params=4000 * 2**k, loss=1.0 - 0.1 * k)


def file(path: Path | str, content: bytes | str) -> Callable[[], None]:
    """A file in the place of what may be there."""

    def write() -> None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_bytes(content.encode() if isinstance(content, str) else content)

    return write


def record(content: bytes | str) -> Callable[[], None]:
    """A study of three runs, one record of which has this content."""
    return all_of(three_runs, file(RECORD, content))


def record_with(*path: str, value: Any) -> Callable[[], None]:
    """A study of three runs, one record of which has this value, such as in results, val_loss."""
    return all_of(three_runs, lambda: _change(RECORD, path, value))


def record_without(*path: str) -> Callable[[], None]:
    """A study of one run whose record lacks this."""

    def write() -> None:
        write_run(STUDY, "a")
        _change(RECORD, path, None, remove=True)

    return write


def metrics(content: bytes | str) -> Callable[[], None]:
    """A study of three runs, one metrics.csv of which has this content."""
    return all_of(three_runs, file(RUN / "metrics.csv", content))


def fit(content: bytes | str) -> Callable[[], None]:
    """A study of three runs with a fit.json of this content."""
    return all_of(three_runs, file(STUDY / "fit.json", content))


def fit_with(*path: str, value: Any) -> Callable[[], None]:
    """A study with a sound fit.json but for one value."""
    return all_of(fit(_sound_fit()), lambda: _change(STUDY / "fit.json", path, value))


def fit_without(*path: str) -> Callable[[], None]:
    """A study with a sound fit.json that lacks this."""
    file = STUDY / "fit.json"
    return all_of(fit(_sound_fit()), lambda: _change(file, path, None, remove=True))


def table(*lines: str) -> Callable[[], None]:
    """A CSV file of the usual head and these rows."""
    return file("runs.csv", "\n".join([HEAD, *lines, ""]))


def sound_rows(count: int = 12) -> list[str]:
    """Rows of a law, over sizes and numbers of images that differ independently."""
    rows = []
    for k in range(count):
        n, d = 1000 * 3 ** (k % 4), 9000 * 4 ** (k // 4)
        rows.append(f"{n},{d},{96 * n * d},{0.3 + 60 * n**-0.5 + 900 * d**-0.55:.6f}")
    return rows


def table_with(row: int, line: str) -> Callable[[], None]:
    """A CSV file of 12 sound rows but for one, counted from 1."""
    rows = sound_rows()
    rows[row - 1] = line
    return table(*rows)


def parquet_table(columns: dict[str, Any], name: str = "runs.parquet") -> Callable[[], None]:
    """A Parquet file of these columns."""
    return lambda: pq.write_table(pa.table(columns), name)


@cache
def _sound_fit() -> str:
    """The fit.json of a study of a known law."""
    from vitladder.laws.fit import fit_sources
    from vitladder.laws.request import Request

    with TemporaryDirectory() as folder:
        write_study(Path(folder) / "study", noise=0.003)
        request = Request(law="parametric", bootstrap=20)
        return json.dumps(fit_sources([Path(folder) / "study"], request).data)


def _change(file: Path, path: tuple[str, ...], value: Any, *, remove: bool = False) -> None:
    data = json.loads(file.read_text())
    *outer, last = path
    inner = data
    for name in outer:
        inner = inner[name]
    inner[last] = value
    if remove:
        del inner[last]
    file.write_text(json.dumps(data))
