"""The page's tables: the laws with their intervals, the minima, and every run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from vitladder.laws.study import budget_of
from vitladder.report.marks import FitData
from vitladder.report.notation import (
    MISSING,
    finite,
    interval,
    percent,
    plain,
    power_of_ten,
    si,
    significant,
)
from vitladder.runs.record import Record

Rows = list[list[str]]

LAW_HEAD = ("Quantity", "Estimate", "95 % interval", "Meaning")
PARAMETRIC_MEANING = {
    "E": "loss that neither size nor images remove",
    "A": "scale of the size term A/N^alpha",
    "B": "scale of the images term B/D^beta",
    "alpha": "exponent of size",
    "beta": "exponent of images",
}
MINIMA_HEAD = ("C, FLOPs", "N*", "D*, images", "Loss", "State")
RUN_HEAD = (
    "Run",
    "State",
    "Width",
    "Depth",
    "N",
    "C target",
    "C actual",
    "D, images",
    "Val. loss",
    "Val. error",
    "Images/s",
    "MFU",
    "Memory",
    "Seconds",
    "Threads",
)


def parametric_rows(law: Mapping[str, Any]) -> Rows:
    """E, A, B, alpha, beta, and the exponents of the optimum they imply."""
    ci95 = law["ci95"] or {}
    rows = [
        [name, significant(value, 4), interval(ci95.get(name)), PARAMETRIC_MEANING[name]]
        for name, value in law["params"].items()
        if name in PARAMETRIC_MEANING
    ]
    meaning = {"a": "N* ∝ C^a with a = beta/(alpha + beta)", "b": "D* ∝ C^b with b = 1 - a"}
    return rows + [
        [name, significant(law[name], 4), interval(ci95.get(name)), meaning[name]]
        for name in ("a", "b")
        if law[name] is not None
    ]


def isoflop_rows(law: Mapping[str, Any]) -> Rows:
    """The power laws through the interior minima."""
    ci95 = law["ci95"] or {}
    return [
        ["a", significant(law["a"], 4), interval(ci95.get("a")), "N* = k C^a"],
        ["b", significant(law["b"], 4), interval(ci95.get("b")), "D* = k' C^b"],
        ["k", significant(law["k"], 4), MISSING, "N* at C = 1"],
        ["k'", significant(law["k_images"], 4), MISSING, "D* at C = 1"],
    ]


def minima_rows(law: Mapping[str, Any]) -> Rows:
    """Each budget's minimum and the sizes its parabola used, or its lowest run and why not."""
    return [
        [
            power_of_ten(minimum["flops"], 3),
            si(minimum["n_params"]),
            si(minimum["images"]),
            plain(minimum["loss"], 4),
            f"edge: {minimum['reason']}"
            if minimum["edge"]
            else f"interior, {minimum['sizes_used']} sizes",
        ]
        for minimum in law["minima"]
    ]


class Cell(NamedTuple):
    """A cell's text, and the number that it is sorted by where it has one."""

    text: str
    value: float | None = None


def run_head(choices: Mapping[str, str]) -> tuple[str, ...]:
    """The columns, with one for what the study compares where it does."""
    return (*RUN_HEAD[:2], "Choice", *RUN_HEAD[2:]) if choices else RUN_HEAD


def run_cells(records: Sequence[Record], choices: Mapping[str, str]) -> list[list[Cell]]:
    """Every run, by budget, then by size; with the runs' choices where there are any."""
    rows = []
    for record in sorted(records, key=_order):
        run, state, *numbers = _run(record)
        compared = [Cell(choices.get(record.run_key, MISSING))] if choices else []
        rows.append([run, state, *compared, *numbers])
    return rows


def _order(record: Record) -> tuple[float, float, str]:
    n_params = finite(record.plan.get("n_params"))
    return budget_of(record) or 0.0, n_params or 0.0, record.run_key


def _run(record: Record) -> list[Cell]:
    plan, results, model = record.plan, record.results, record.config.get("model") or {}
    shown: list[tuple[Callable[[float | None], str], object]] = [
        (_whole, model.get("width")),
        (_whole, model.get("depth")),
        (si, plan.get("n_params")),
        (_budget, plan.get("flops_target")),
        # Of a run that ended early these are what it did, not what it was to do.
        (_budget, results.flops or (plan.get("flops") if record.status == "complete" else None)),
        (si, results.images or (plan.get("images") if record.status == "complete" else None)),
        (lambda value: plain(value, 4), results.val_loss),
        (percent, results.val_error),
        (si, results.images_per_s),
        (percent, results.mfu),
        (_bytes, results.peak_memory_bytes),
        (lambda value: plain(value, 1), record.times.get("seconds")),
        (_whole, record.environment.get("threads")),
    ]
    numbers = [(text, finite(value)) for text, value in shown]
    return [
        Cell(record.run_key),
        Cell(record.status),
        *(Cell(text(number), number) for text, number in numbers),
    ]


def _budget(value: float | None) -> str:
    return power_of_ten(value, 3)


def _bytes(value: float | None) -> str:
    return MISSING if value is None else f"{si(value)}B"


def _whole(value: float | None) -> str:
    return MISSING if value is None else f"{value:.0f}"


def flagged_rows(fit: FitData) -> Rows:
    """The runs that the parametric law does not explain, the worst first."""
    return [[str(one["run"]), plain(one["z"], 1)] for one in fit.get("flagged_runs") or []]


def error_rows(records: Sequence[Record]) -> Rows:
    """The runs that did not complete, and what they said."""
    return [
        [record.run_key, record.status, str(record.error or "no message")]
        for record in sorted(records, key=_order)
        if record.status != "complete"
    ]
