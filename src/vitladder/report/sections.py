"""The page's sections in words and tables: the answer, laws, runs, what went wrong, and how."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

from vitladder.laws.flagged import FLAG
from vitladder.laws.forms import FORM
from vitladder.laws.study import RunPoint
from vitladder.report import markup, provenance, tables
from vitladder.report.answer import answer
from vitladder.report.choices import Choice, choice_of_each
from vitladder.report.comparison import CAPTION, comparison_answer, comparison_rows
from vitladder.report.comparison import HEAD as COMPARED
from vitladder.report.marks import FitData
from vitladder.report.notation import MISSING
from vitladder.runs.record import Record

FILES = {"config.yaml": "config", "train.log": "log"}  # of a run, that its row leads to
NO_LAW = (
    "Runs of several choices share no law, so there are no exponents, no prescription and no "
    "held-out error."
)
MISSING_LAWS = {
    "parametric": "No parametric law",
    "isoflop": "No IsoFLOP law",
    "held_out": "Nothing held out",
    "parametric_ci95": "No interval for the parametric law",
    "isoflop_ci95": "No interval for the IsoFLOP law",
    "parametric_bound": "At its bound",
}


def answer_of(choices: Sequence[Choice], runs: Sequence[RunPoint], fit: FitData) -> str:
    """What the study found: the best choice where it compares some, else its laws."""
    sentences = [comparison_answer(choices), NO_LAW] if choices else answer(runs, fit)
    said = "".join(markup.paragraph(text) for text in sentences)
    return f'<section id="answer" aria-label="Answer">{said}</section>'


def laws(fit: FitData, figures: str) -> str:
    """The figures of the laws, their tables, and what they lack."""
    found, reasons = fit.get("laws") or {}, fit.get("reasons") or {}
    parametric, isoflop = found.get("parametric"), found.get("isoflop")
    content = [figures]
    if parametric:
        caption = f"Parametric law {FORM}"
        content.append(markup.table(caption, tables.LAW_HEAD, tables.parametric_rows(parametric)))
    if isoflop and isoflop["a"] is not None:
        caption = "Power laws through the IsoFLOP minima"
        content.append(markup.table(caption, tables.LAW_HEAD, tables.isoflop_rows(isoflop)))
        content += [markup.paragraph(text, "reason") for text in _draws(isoflop)]
    if isoflop:
        caption = "Minimum of each budget"
        content.append(markup.table(caption, tables.MINIMA_HEAD, tables.minima_rows(isoflop)))
    content += [markup.paragraph(text, "reason") for text in _missing(reasons)]
    return markup.section("laws", "Scaling laws", *content)


def compared(choices: Sequence[Choice], figures: str) -> str:
    """The choices that the study compares; nothing at all where its runs differ in size alone."""
    if not choices:
        return ""
    rows = comparison_rows(choices)
    return markup.section(
        "comparison", "Comparison", figures, markup.table(CAPTION, COMPARED, rows)
    )


def run_table(folder: Path, records: Sequence[Record], choices: Sequence[Choice]) -> str:
    """Every run with the number behind each cell, and links to its config and log."""
    named = choice_of_each(records, choices)
    rows = [_row(folder, cells) for cells in tables.run_cells(records, named)]
    first, *others = tables.run_head(named)
    head = (first, "Files", *others)
    box = (
        '<p class="filter" hidden><label for="filter">Filter</label>'
        '<input id="filter" type="search" placeholder="words that a row must have">'
        '<output id="filtered" for="filter"></output></p>'
    )
    table = markup.scrolling("Every run of the study", head, rows, ' class="sortable"')
    return markup.section("runs", "Runs", box, table)


def _row(folder: Path, cells: Sequence[tables.Cell]) -> str:
    """A run, its files, and its cells with their numbers."""
    first, *rest = cells
    tail = "".join(_cell(cell) for cell in rest)
    head = f'<th scope="row">{escape(first.text)}</th><td>{_links(folder, first)}</td>'
    return f"<tr>{head}{tail}</tr>"


def _cell(cell: tables.Cell) -> str:
    number = "" if cell.value is None else f' data-value="{cell.value:g}"'
    return f"<td{number}>{escape(cell.text)}</td>"


def _links(folder: Path, run: tables.Cell) -> str:
    """The files of a run that are there."""
    there = [name for name in FILES if (folder / run.text / name).is_file()]
    links = [
        f'<a href="{escape(quote(run.text))}/{name}" aria-label="{name} of run '
        f'{escape(run.text)}">{FILES[name]}</a>'
        for name in there
    ]
    return " ".join(links) or MISSING


def trouble(records: Sequence[Record], fit: FitData) -> str:
    """Runs that the law does not explain, and runs that did not complete."""
    flagged, errors = tables.flagged_rows(fit), tables.error_rows(records)
    content = []
    if flagged:
        caption = f"Flagged: |z| above {FLAG:g}, which the parametric law does not explain"
        content.append(markup.table(caption, ("Run", "Robust z-score"), flagged))
    if errors:
        head = ("Run", "State", "Message")
        content.append(markup.table("Runs that did not complete", head, errors))
    nothing = markup.paragraph("Every run is complete, and no law flags any.", "reason")
    return markup.section("trouble", "Flagged and failed runs", *(content or [nothing]))


def made(records: Sequence[Record], fit: FitData, command: str) -> str:
    """Commands, versions, machines, and what is counted how."""
    return markup.section(
        "made",
        "How this page was made",
        markup.commands(provenance.run_commands(records, command)),
        markup.definitions(provenance.circumstances(records)),
        *(markup.paragraph(text) for text in provenance.conventions(fit)),
    )


def _draws(isoflop: Mapping[str, Any]) -> list[str]:
    """What the intervals of the power laws are over, where there are any."""
    if isoflop["ci95"] is None:
        return []
    draws, interior = isoflop["resamples"], sum(not one["edge"] for one in isoflop["minima"])
    text = (
        f"In {draws['same_budgets']} of {draws['used']} draws the same {interior} budgets have an "
        "interior minimum"
    )
    if draws["same_budgets"] == draws["used"]:
        return [f"{text}."]
    return [f"{text}; the others lost some, so these intervals mix laws over different budgets."]


def _missing(reasons: Mapping[str, str]) -> list[str]:
    """What the laws lack and why, each reason once."""
    titles: dict[str, list[str]] = {}
    for name, title in MISSING_LAWS.items():
        if name in reasons:
            titles.setdefault(reasons[name], []).append(title)
    return [f"{'. '.join(these)}: {reason}." for reason, these in titles.items()]
