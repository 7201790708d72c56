"""What a fit leaves behind: fit.json and runs.csv, and a fit read back to decide with."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from vitladder.config import LoggerConfig
from vitladder.errors import UserError, shown
from vitladder.laws.criterion import Matrix, Vector
from vitladder.laws.fit import SCHEMA
from vitladder.laws.fit_table import Fit
from vitladder.laws.frontier import Frontier
from vitladder.laws.kept_fit import LETTERS, damage
from vitladder.laws.table import Table
from vitladder.runs.atomic import write_text
from vitladder.runs.reading import Unreadable, json_of
from vitladder.runs.tracking import track_fit
from vitladder.runs.wandb_fit import FIT, RUNS

FILE = FIT
TRACKED = "fit"  # the folder of the W&B run, beside those of the study's runs
_AGAIN = "run `vitladder fit` again"
COLUMNS = ("run", "n_params", "images", "tokens", "flops", "budget", "loss", "error")


def write_fit(folder: Path, fit: Fit) -> bool:
    """Write fit.json (the answer, and what `prescribe` and `suggest` need) and runs.csv.

    Returns whether the fit is another one than was there. Raises UserError where the folder cannot
    be written.
    """
    text = json.dumps(fit.data, indent=1, allow_nan=False) + "\n"
    file = folder / FILE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if file.is_file() and file.read_text(encoding="utf-8") == text:
            return False
        if fit.table is not None:
            write_text(folder / RUNS, _csv(fit, fit.table))
        write_text(file, text)
    except OSError as error:
        raise UserError(f"{folder}: the fit cannot be written there: {error.strerror}") from error
    return True


def track_study(folder: Path, fit: Fit) -> None:
    """Log the fit of a study to W&B where its runs are logged there: offline if they are."""
    config = fit.data["config"]
    logged = (config or {}).get("logger") or {}
    known = {one.name: logged[one.name] for one in fields(LoggerConfig) if one.name in logged}
    if known.get("name", "csv") != "csv":
        track_fit(folder / TRACKED, fit.data["study"], LoggerConfig(**known), summary_of(fit.data))


def summary_of(data: Mapping[str, Any]) -> dict[str, float | int]:
    """The numbers of an answer that a dashboard plots, flat: "fit/parametric/alpha"."""
    found: dict[str, float | int] = {"fit/runs": data["runs"]}
    for name, law in data["laws"].items():
        for key, value in {**(law or {}), **((law or {}).get("params") or {})}.items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                found[f"fit/{name}/{key}"] = value
    for key in ("log_rmse", "bias"):
        if data["held_out"]:
            found[f"fit/held_out/{key}"] = data["held_out"][key]
    return found


def read_fit(path: Path) -> dict[str, Any]:
    """A fit.json, or that of a folder. Raises UserError where there is none of this version."""
    file = path / FILE if path.is_dir() else path
    try:
        data = json_of(file)
    except (FileNotFoundError, NotADirectoryError) as error:
        how = f"run `vitladder fit {path}`" if path.is_dir() else "give a study that was fitted"
        raise UserError(f"no {file}: {how}, or the folder that a fit was written to") from error
    except Unreadable as why:
        raise UserError(f"{file} is not a fit of vitladder ({why}); {_AGAIN}") from why
    if not isinstance(data, dict) or "schema" not in data:
        raise UserError(f"{file} is not a fit of vitladder (it has no schema number); {_AGAIN}")
    if data["schema"] != SCHEMA:
        raise UserError(
            f"{file} has schema {shown(data['schema'])}, this version reads {SCHEMA}; {_AGAIN}"
        )
    damaged = damage(data)
    if damaged:
        raise UserError(f"{file} is damaged ({damaged}); {_AGAIN}")
    return data


def read_frontier(data: Mapping[str, Any], source: Path) -> Frontier:
    """The split of compute of a fit that was read, in units without scales.

    Raises UserError where it has none.
    """
    law = data["laws"].get("parametric")
    if law is None or law["a"] is None:
        reasons = data.get("reasons") or {}
        why = (
            reasons.get("parametric_ci95")
            or reasons.get("parametric")
            or "it is no law over N, D and C"
        )
        raise UserError(f"{source}: no parametric law to split compute by: {why}")
    point = np.array([law["params"][name] for name in LETTERS])
    for letter in ("A", "alpha", "B", "beta"):
        if law["params"][letter] == 0:
            raise UserError(f"{source}: no split of compute: the parametric law has {letter} = 0")
    draws = np.array(data["basis"]["draws"], dtype=np.float64).reshape(-1, len(point))
    size, seen, flops, loss = (
        _scale(data, name) for name in (*law["terms"], "flops", data["target"])
    )
    reach = [flops * one["flops"] for one in law["frontier"] if not one["extrapolated"]]
    k = law["flops_per_param_image"] * flops / (size * seen)
    laws = [_unscaled(some, size, seen, loss) for some in (point[None], draws)]
    return Frontier(laws[0][0], laws[1], k, (min(reach), max(reach)))


def read_runs(data: Mapping[str, Any]) -> tuple[Vector, Vector, float]:
    """N and D of the runs of a fit that was read, in parameters and images (or tokens); noise."""
    basis, terms = data["basis"], data["laws"]["parametric"]["terms"]
    n_params = np.array(basis["n_params"]) * _scale(data, terms[0])
    return n_params, np.array(basis["images"]) * _scale(data, terms[1]), float(basis["noise"])


def _scale(data: Mapping[str, Any], column: str) -> float:
    """What the fit divided a column by."""
    return float(data["scales"].get(column, 1.0))


def _unscaled(laws: Matrix, size: float, seen: float, loss: float) -> Matrix:
    """Laws (E, A, alpha, B, beta) of scaled columns [laws, 5] in the units before."""
    e, a, alpha, b, beta = laws.T
    columns = [e * loss, a * loss * size**alpha, alpha, b * loss * seen**beta, beta]
    return np.stack(columns, axis=1)


def _csv(fit: Fit, table: Table) -> str:
    """The fitted rows: the usual columns, each law's prediction of them."""
    text = io.StringIO()
    names = [name for name in COLUMNS if name in table]
    predicted = {name: fit.predictions(name) for name in fit.laws}
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*names, *(f"predicted_{name}" for name in predicted)])
    for row in range(len(table)):
        cells = [table.cells[name][row] for name in names]
        writer.writerow([*cells, *(column[row] for column in predicted.values())])
    return text.getvalue()
