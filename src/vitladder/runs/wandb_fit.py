"""What W&B is given of a study's fit besides its numbers: tables, pictures, and its files."""

from __future__ import annotations

import csv
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vitladder.runs.reading import json_of, text_of

FIT, RUNS, FIGURES = "fit.json", "runs.csv", "figures"
"""A study's fit, its fitted runs, and the folder of its page's figures."""

LAWS, RUNS_TABLE = "fit/laws", "fit/runs_table"
"""The tables in W&B."""

_LAW_HEAD = ["law", "formula", "parameter", "value", "low 95 %", "high 95 %", "runs"]


def fit_files(study: Path) -> list[Path]:
    """Return the files that a study's fit and page have left."""
    return [*filter(Path.is_file, (study / FIT, study / RUNS)), *fit_figures(study)]


def fit_figures(study: Path) -> list[Path]:
    """Return the pictures of a study's page, as W&B shows them."""
    return sorted(filter(Path.is_file, (study / FIGURES).glob("*.png")))


def figure_key(file: Path) -> str:
    """What W&B calls a picture."""
    return f"{FIGURES}/{file.stem}"


def digests(study: Path) -> dict[str, str]:
    """Return the sha256 of each of these files."""
    return {
        str(file.relative_to(study)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in fit_files(study)
    }


def attach_fit(run: Any, study: Path) -> None:
    """Log a fit's tables and figures to an open W&B run, and its files as an artifact."""
    import wandb

    logged: dict[str, Any] = {
        figure_key(file): wandb.Image(str(file)) for file in fit_figures(study)
    }
    if (study / RUNS).is_file():
        head, rows = _runs(study / RUNS)
        logged[RUNS_TABLE] = wandb.Table(columns=[*head], data=rows)
    if (study / FIT).is_file():
        logged[LAWS] = wandb.Table(columns=[*_LAW_HEAD], data=_laws(study / FIT))
    run.log(logged)
    # W&B allows no other characters in the name of an artifact.
    artifact = wandb.Artifact(f"fit-{re.sub(r'[^A-Za-z0-9_.-]', '-', study.name)}", type="fit")
    for file in fit_files(study):
        artifact.add_file(str(file), name=str(file.relative_to(study)))
    # W&B's client says nothing of files that its server did not take, unless one waits.
    run.log_artifact(artifact).wait()


def _runs(file: Path) -> tuple[list[str], list[list[Any]]]:
    """The fitted runs, with what each law predicts of them."""
    head, *rows = csv.reader(text_of(file).splitlines())
    return head, [[row[0], *(_number(cell) for cell in row[1:])] for row in rows]


def _laws(file: Path) -> list[list[Any]]:
    """The parameters of each law, with their intervals where there are some."""
    laws = json_of(file)["laws"]
    return [row for name, law in laws.items() if law for row in _parameters(name, law)]


def _parameters(name: str, law: dict[str, Any]) -> Iterator[list[Any]]:
    bounds = law.get("ci95") or {}
    found = {**(law.get("params") or {}), **{key: law.get(key) for key in ("a", "b")}}
    for key, value in found.items():
        if isinstance(value, int | float):
            low, high = bounds.get(key) or (None, None)
            yield [name, law.get("formula"), key, value, low, high, law.get("runs")]


def _number(cell: str) -> float | str | None:
    try:
        return float(cell) if cell else None
    except ValueError:
        return cell
