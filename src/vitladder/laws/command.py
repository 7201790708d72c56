"""`vitladder fit`: its options, its files and its words."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from vitladder.errors import UserError, unknown
from vitladder.laws.catalogue import NAMES
from vitladder.laws.criterion import DELTA, Criterion
from vitladder.laws.describe import describe_fit
from vitladder.laws.fit import fit_sources
from vitladder.laws.request import BOOTSTRAP, Request
from vitladder.laws.table import number
from vitladder.laws.written import TRACKED, track_study, write_fit

LOSSES = ("huber", "lad", "ls")
RESIDUALS = ("log", "linear")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    add = parser.add_argument
    add("source", nargs="+", type=Path, help="a study's folder, or a CSV or Parquet file of runs")
    add("--law", default="auto", help=f"one of {', '.join(NAMES)} (default: auto, all that apply)")
    add("--terms", default="", help="the columns of the law, such as n_params,tokens")
    add("--loss", default="huber", help="huber, lad (absolute) or ls (squares)")
    add("--delta", type=float, default=DELTA, help=f"Huber's, default {DELTA:g}")
    add("--residual", default="log", help="log or linear")
    add("--column", action="append", default=[], metavar="NEW=OLD", help="what a column is called")
    add("--scale", action="append", default=[], metavar="COLUMN=UNIT", help="divide a column")
    add("--flops-per", metavar="PRODUCT", help='the missing one of N, D and C, such as "6*N*D"')
    add("--where", metavar="FILTER", help='which rows, such as "flops<=1e21 and loss<5"')
    add("--by", metavar="COLUMN", help="fit the rows of each of its values apart")
    add("--drop-worst", type=int, default=0, metavar="K", help="leave out the K highest losses")
    add("--drop-flagged", action="store_true", help="leave out runs with |z| above 5, fit again")
    add("--hold-out", metavar="FILTER", help="rows to predict instead of the largest budget")
    add("--bootstrap", type=int, default=BOOTSTRAP, help=f"draws, default {BOOTSTRAP}")
    add("--seed", type=int, default=0, help="of the draws")
    add("--out", type=Path, help="folder for fit.json and runs.csv (default: the study's own)")
    add("--json", action="store_true", help="print one JSON object on stdout")


def run(given: argparse.Namespace) -> int:
    """Fit, write what a study keeps, and print the answer."""
    request = _request(given)
    fitted = fit_sources(given.source, request)
    folder = given.out or (given.source[0] if _is_one_study(given.source) else None)
    if folder is not None:
        changed = write_fit(folder, fitted)
        if _is_one_study(given.source) and (changed or not (folder / TRACKED).exists()):
            track_study(folder, fitted)
    if given.json:
        print(json.dumps(fitted.data, indent=1, allow_nan=False))
    else:
        print(describe_fit(fitted.data))
    return 0


def _is_one_study(sources: Sequence[Path]) -> bool:
    return len(sources) == 1 and sources[0].is_dir()


def _request(given: argparse.Namespace) -> Request:
    criterion = Criterion(
        _one_of("loss", given.loss, LOSSES),
        given.delta,
        _one_of("residual", given.residual, RESIDUALS),
    )
    if given.law not in NAMES:
        raise unknown("law", given.law, NAMES)
    return Request(
        law=given.law,
        terms=tuple(part.strip() for part in given.terms.split(",") if part.strip()),
        criterion=criterion,
        columns=_pairs("--column", "NEW=OLD", given.column, str),
        scales=_pairs("--scale", "COLUMN=UNIT", given.scale, _unit),
        flops_per=given.flops_per,
        where=given.where,
        by=given.by,
        drop_worst=given.drop_worst,
        drop_flagged=given.drop_flagged,
        hold_out=given.hold_out,
        bootstrap=given.bootstrap,
        seed=given.seed,
    )


def _one_of(option: str, name: str, have: Sequence[str]) -> Any:
    if name not in have:
        raise unknown(option, name, have)
    return name


def _unit(text: str) -> float:
    value = number(text)
    if value is None:
        raise UserError(f"--scale: {text!r} is no number")
    return value


def _pairs(
    option: str, form: str, texts: Sequence[str], read: Callable[[str], Any]
) -> dict[str, Any]:
    found = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise UserError(f"{option} {text!r}: write {form}")
        found[name.strip()] = read(value.strip())
    return found
