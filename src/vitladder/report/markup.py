"""HTML from plain data: everything that comes in as text is escaped here and nowhere else."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from vitladder.report.figures import PageFigure


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
    columns = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in head)
    body = "\n".join(_row(row) for row in rows)
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(caption)}">'
        f"<table>\n<caption>{escape(caption)}</caption>\n<thead><tr>{columns}</tr></thead>\n"
        f"<tbody>\n{body}\n</tbody>\n</table></div>"
    )


def _row(cells: Sequence[str]) -> str:
    first, *rest = cells
    tail = "".join(f"<td>{escape(cell)}</td>" for cell in rest)
    return f'<tr><th scope="row">{escape(first)}</th>{tail}</tr>'


def commands(lines: Sequence[str]) -> str:
    """Commands as one block of code."""
    return f"<pre><code>{escape(chr(10).join(lines))}</code></pre>"


def definitions(pairs: Sequence[tuple[str, str]]) -> str:
    """A list of terms with their values."""
    items = "".join(f"<dt>{escape(term)}</dt><dd>{escape(value)}</dd>" for term, value in pairs)
    return f"<dl>{items}</dl>"


def figure(drawn: PageFigure) -> str:
    """A figure on its white card, or a note where there is nothing to draw."""
    if drawn.svg is None:
        inside = f'<p class="empty">{escape(drawn.caption)}</p>'
        return f'<figure class="note"><h3>{escape(drawn.title)}</h3>{inside}</figure>'
    return (
        f'<figure id="figure-{drawn.name}"><h3>{escape(drawn.title)}</h3>'
        f'<div class="plot">{drawn.svg}</div>'
        f"<figcaption>{escape(drawn.caption)}</figcaption></figure>"
    )
