"""HTML from plain data: everything that comes in as text is escaped here and nowhere else."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from typing import Any


def paragraph(text: str, css_class: str = "") -> str:
    """One paragraph of plain text."""
    return f'<p class="{css_class}">{escape(text)}</p>' if css_class else f"<p>{escape(text)}</p>"


def section(identity: str, title: str, *content: str) -> str:
    """A section with its heading; `content` is HTML."""
    body = "\n".join(content)
    return (
        f'<section id="{identity}" aria-labelledby="{identity}-title">\n'
        f'<h2 id="{identity}-title">{escape(title)}</h2>\n{body}\n</section>'
    )


def table(caption: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of plain text whose first column heads its rows, scrolling in its own container."""
    body = [_row([escape(cell) for cell in row]) for row in rows]
    return scrolling(caption, head, body)


def scrolling(caption: str, head: Sequence[str], rows: Sequence[str], more: str = "") -> str:
    """A table of rows that are HTML already; `more` is an attribute of the table."""
    columns = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in head)
    body = "\n".join(rows)
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(caption)}">'
        f"<table{more}>\n<caption>{escape(caption)}</caption>\n"
        f"<thead><tr>{columns}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table></div>"
    )


def _row(cells: Sequence[str]) -> str:
    first, *rest = cells
    tail = "".join(f"<td>{cell}</td>" for cell in rest)
    return f'<tr><th scope="row">{first}</th>{tail}</tr>'


def commands(lines: Sequence[str]) -> str:
    """Commands as one block of code."""
    return f'<pre tabindex="0"><code>{escape(chr(10).join(lines))}</code></pre>'


def definitions(pairs: Sequence[tuple[str, str]]) -> str:
    """A list of terms with their values."""
    items = "".join(f"<dt>{escape(term)}</dt><dd>{escape(value)}</dd>" for term, value in pairs)
    return f"<dl>{items}</dl>"


def data(value: Any, attributes: str) -> str:
    """JSON that the page's script reads; no text in it can end the element that holds it."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for sign, written in (("<", "\\u003c"), (">", "\\u003e"), ("&", "\\u0026")):
        text = text.replace(sign, written)
    return f'<script type="application/json" {attributes}>{text}</script>'
