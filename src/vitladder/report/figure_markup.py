"""A figure on its card: what is drawn of it, its words, the data behind it, and its files."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from vitladder.report import markup, vega
from vitladder.report.chart import Drawing, packed, still
from vitladder.report.figures import NAMES, PageFigure
from vitladder.report.notation import MISSING, significant
from vitladder.runs.atomic import replacing, write_text

MOST_ROWS = 60  # of a figure's table on the page; its CSV has all
KINDS = ("svg", "png", "csv")
SPEC = 'class="spec"'


@dataclass(frozen=True)
class Card:
    """A figure's HTML, and what its files hold; None where there is nothing to draw."""

    name: str
    html: str
    svg: str | None = None
    csv: str | None = None


def card(figure: PageFigure) -> Card:
    """The figure as it stands on the page, or a note where there is nothing to draw."""
    title, caption = escape(figure.title), escape(figure.caption)
    if figure.drawing is None:
        inside = f'<p class="empty">{caption}</p>'
        head = f'<figure id="figure-{figure.name}" class="note"><h3>{title}</h3>'
        return Card(figure.name, f"{head}{inside}</figure>")
    drawing = figure.drawing
    said = f"{figure.title}. {figure.caption} The data is in the table below."
    svg = vega.to_svg(still(drawing.spec), figure.name, said)
    return Card(
        figure.name,
        f'<figure id="figure-{figure.name}"><h3>{title}</h3>'
        f'<div class="plot">{vega.in_readers_font(vega.without_ground(svg))}</div>'
        f"{_table(figure.title, figure.name, drawing)}{markup.data(packed(drawing.spec), SPEC)}"
        f"<figcaption>{caption}</figcaption></figure>",
        svg,
        _csv(drawing),
    )


def keep_files(folder: Path, cards: Sequence[Card]) -> None:
    """Write each figure's SVG, PNG and CSV; remove those of an earlier page that are no more."""
    drawn = {one.name: one for one in cards if one.svg is not None}
    for name in NAMES:
        if name not in drawn:
            for kind in KINDS:
                (folder / f"{name}.{kind}").unlink(missing_ok=True)
    if drawn:
        folder.mkdir(exist_ok=True)
    for name, one in drawn.items():
        write_text(folder / f"{name}.svg", vega.in_readers_font(one.svg or ""))
        write_text(folder / f"{name}.csv", one.csv or "")
        with replacing(folder / f"{name}.png") as temporary:
            temporary.write_bytes(vega.to_png(one.svg or ""))


def _table(title: str, name: str, drawing: Drawing) -> str:
    """The first rows behind the figure, folded away."""
    columns = _filled(drawing)
    rows = [[_text(row.get(column)) for column in columns] for row in drawing.rows[:MOST_ROWS]]
    count = len(drawing.rows)
    more = f"The first {len(rows)} of {count} rows. " if count > len(rows) else ""
    link = f'<a href="figures/{name}.csv">figures/{name}.csv</a>'
    note = f'<p class="files">{more}All of it: {link}.</p>'
    table = markup.table(f"Data of: {title}", columns, rows)
    whose = f'<span class="unseen"> of {escape(title)}</span>'  # read alone, each says its figure
    return f"<details><summary>Data{whose}</summary>{note}{table}</details>"


def _filled(drawing: Drawing) -> list[str]:
    """The columns in which any row says something."""
    return [
        column
        for column in drawing.columns
        if any(row.get(column) is not None for row in drawing.rows)
    ]


def _text(value: Any) -> str:
    if value is None:
        return MISSING
    return significant(float(value), 4) if isinstance(value, int | float) else str(value)


def _csv(drawing: Drawing) -> str:
    """All rows, numbers in full."""
    text, columns = io.StringIO(), _filled(drawing)
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([row.get(column) for column in columns] for row in drawing.rows)
    return text.getvalue()
