"""The page of a study: one HTML file that says what was found, shows it, and says how."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from pathlib import Path

from vitladder.errors import UserError
from vitladder.laws.study import RunPoint, points, read_records, study_name
from vitladder.report import markup, sections, vega
from vitladder.report.choices import Choice, read_choices
from vitladder.report.css import style_sheet
from vitladder.report.figure_markup import Card, card, keep_files
from vitladder.report.figures import page_figures
from vitladder.report.marks import FitData
from vitladder.report.style import DARK
from vitladder.runs.atomic import write_text
from vitladder.runs.record import Record

SCRIPTS = ("page.js", "runs.js")
COLOURS = 'id="colours"'


@dataclass(frozen=True)
class Study:
    """What a page is made of."""

    folder: Path
    records: Sequence[Record]
    runs: Sequence[RunPoint]
    choices: Sequence[Choice]
    fit: FitData
    command: str

    @property
    def name(self) -> str:
        """The study's name."""
        return study_name(self.records, self.folder)


def write_page(folder: Path, fit: FitData, *, command: str) -> Path:
    """Write `<folder>/report.html` and `<folder>/figures/`; returns the page's path.

    `fit` is what `fit_study` (or `unfitted_study`) returned for the folder, `command` what was
    typed to make the page. Raises UserError where the folder holds no study or cannot be written.
    """
    records = read_records(folder)
    study = Study(folder, records, points(records), read_choices(records), fit, command)
    drawn = page_figures(folder, records, study.runs, fit, study.choices)
    cards = {figure.name: card(figure) for figure in drawn.every()}
    page, text = folder / "report.html", render(study, drawn.names(), cards)
    try:
        keep_files(folder / "figures", list(cards.values()))
        write_text(page, text)
    except OSError as error:
        raise UserError(
            f"{folder}: the page cannot be written there: {error.strerror} "
            f"({error.filename2 or error.filename})"
        ) from error
    return page


def render(study: Study, places: Mapping[str, Sequence[str]], cards: Mapping[str, Card]) -> str:
    """The whole page as text; everything from records is escaped.

    `places` says which figures each section has.
    """
    figures = {place: _grid([cards[name] for name in names]) for place, names in places.items()}
    name, fit, records = escape(study.name), study.fit, study.records
    body = "\n".join(
        [
            f'<header><p class="kind">Scaling study</p><h1>{name}</h1></header>',
            sections.answer_of(study.choices, study.runs, fit),
            sections.laws(fit, figures["laws"]),
            markup.section("predicted", "Predicted against measured", figures["predicted"]),
            sections.compared(study.choices, figures["compared"]),
            markup.section("speed", "Throughput, MFU and roof", figures["speed"]),
            markup.section("learning", "Learning curves", figures["learning"]),
            sections.run_table(study.folder, records, study.choices),
            sections.trouble(records, fit),
            sections.made(records, fit, study.command),
        ]
    )
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{name}: scaling study</title>\n<style>{style_sheet()}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n{_scripts()}\n</body>\n</html>\n"
    )


def _grid(cards: Sequence[Card]) -> str:
    """Figures and notes on missing ones side by side; nothing where there is none."""
    if not cards:
        return ""
    return f'<div class="figures">{"".join(one.html for one in cards)}</div>'


def _scripts() -> str:
    """What makes the page answer: Vega, which nothing runs until it is needed, and our own."""
    folder = files("vitladder.report")
    own = [folder.joinpath(name).read_text(encoding="utf-8") for name in SCRIPTS]
    return "\n".join(
        [
            f'<script type="text/plain" id="vega">{vega.bundle()}</script>',
            markup.data(DARK, COLOURS),
            *(f"<script>\n{text}</script>" for text in own),
        ]
    )
