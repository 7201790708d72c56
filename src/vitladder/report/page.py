"""The page of a study: one HTML file that says what was found, shows it, and says how."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from vitladder.errors import UserError
from vitladder.laws.forms import FORM
from vitladder.laws.study import RunPoint, points, read_records, study_name
from vitladder.report import markup, provenance, tables
from vitladder.report.answer import answer
from vitladder.report.comparison import HEAD as COMPARED
from vitladder.report.comparison import comparison_answer, comparison_rows, read_choices
from vitladder.report.css import CSS
from vitladder.report.figures import PageFigure, page_figures
from vitladder.runs.atomic import write_text
from vitladder.runs.record import Record

Fit = Mapping[str, Any]

MISSING_LAWS = {
    "parametric": "No parametric law",
    "isoflop": "No IsoFLOP law",
    "held_out": "Nothing held out",
    "parametric_ci95": "No interval for the parametric law",
    "isoflop_ci95": "No interval for the IsoFLOP law",
    "parametric_bound": "At its bound",
}


def write_page(folder: Path, fit: Fit, *, command: str) -> Path:
    """Write `<folder>/report.html` and `<folder>/figures/*.svg`; returns the page's path.

    `fit` is what `fit_study` (or `unfitted_study`) returned for the folder, `command` what was
    typed to make the page. Raises UserError where the folder holds no study or cannot be written.
    """
    records = read_records(folder)
    runs = points(records)
    name = study_name(records, folder)
    figures = page_figures(folder, records, runs, fit)
    page = folder / "report.html"
    text = render(name, records, runs, fit, figures, command)
    try:
        for drawn in figures:
            _keep_figure(folder / "figures", drawn)
        write_text(page, text)
    except OSError as error:
        raise UserError(
            f"{folder}: the page cannot be written there: {error.strerror} "
            f"({error.filename2 or error.filename})"
        ) from error
    return page


def render(
    name: str,
    records: Sequence[Record],
    runs: Sequence[RunPoint],
    fit: Fit,
    figures: Sequence[PageFigure],
    command: str,
) -> str:
    """The whole page as text; everything from records is escaped."""
    body = "\n".join(
        [
            f'<header><p class="kind">Scaling study</p><h1>{escape(name)}</h1></header>',
            '<section id="answer" aria-label="Answer">',
            *(markup.paragraph(text) for text in _answer(records, runs, fit)),
            "</section>",
            _figures(figures),
            _comparison(records),
            _laws(fit),
            _runs(records),
            _provenance(records, fit, command),
        ]
    )
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{escape(name)}: scaling study</title>\n<style>{CSS}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def _figures(figures: Sequence[PageFigure]) -> str:
    """All figures and notes on missing ones; nothing at all where none can be drawn."""
    if all(drawn.svg is None for drawn in figures):
        return ""
    return f'<div class="figures">{"".join(markup.figure(drawn) for drawn in figures)}</div>'


def _answer(records: Sequence[Record], runs: Sequence[RunPoint], fit: Fit) -> Sequence[str]:
    """What the study found: the best choice where it compares some, else its laws."""
    choices = read_choices(records)
    return [comparison_answer(choices)] if choices else answer(runs, fit)


def _comparison(records: Sequence[Record]) -> str:
    """The choices that the study compares; nothing at all where its runs differ in size alone."""
    choices = read_choices(records)
    if not choices:
        return ""
    rows = comparison_rows(choices)
    caption = "Validation loss of each choice at the same budget, mean over seeds"
    return markup.section("comparison", "Comparison", markup.table(caption, COMPARED, rows))


def _laws(fit: Fit) -> str:
    laws, reasons = fit.get("laws") or {}, fit.get("reasons") or {}
    parametric, isoflop = laws.get("parametric"), laws.get("isoflop")
    content = []
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
    return markup.section("laws", "Laws", *content)


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


def _runs(records: Sequence[Record]) -> str:
    everything = markup.table("Every run of the study", tables.RUN_HEAD, tables.run_rows(records))
    errors = tables.error_rows(records)
    if not errors:
        return markup.section("runs", "Runs", everything)
    head = ("Run", "State", "Message")
    return markup.section(
        "runs", "Runs", everything, markup.table("Runs that did not complete", head, errors)
    )


def _provenance(records: Sequence[Record], fit: Fit, command: str) -> str:
    return markup.section(
        "made",
        "How this page was made",
        markup.commands(provenance.run_commands(records, command)),
        markup.definitions(provenance.circumstances(records)),
        *(markup.paragraph(text) for text in provenance.conventions(fit)),
    )


def _keep_figure(folder: Path, drawn: PageFigure) -> None:
    """Write a figure's file, or remove the one of an earlier page that can no longer be drawn."""
    file = folder / f"{drawn.name}.svg"
    if drawn.svg is None:
        file.unlink(missing_ok=True)
        return
    folder.mkdir(exist_ok=True)
    write_text(file, drawn.svg)
