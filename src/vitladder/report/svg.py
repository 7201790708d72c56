"""A figure as SVG text: the same bytes for the same data, and ids that no other figure has."""

from __future__ import annotations

import re
import warnings
from html import escape
from io import StringIO

import matplotlib
from matplotlib.figure import Figure

from vitladder.report.style import RC

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Liberation Sans', Arial, sans-serif"


def to_svg(figure: Figure, name: str, description: str) -> str:
    """The figure as one <svg> element; ids start with `name`, `description` is its aria-label."""
    out = StringIO()
    with matplotlib.rc_context(RC | {"svg.hashsalt": name}), warnings.catch_warnings():
        # Text stays text, which the reader's own fonts draw.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    text = out.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    text = re.sub(r"'DejaVu Sans'[^;\"]*", FONT, text)
    return _describe(_own_ids(text, name), description)


def _own_ids(text: str, name: str) -> str:
    """Several inline figures share one page's ids, so each id and each use of it is prefixed."""
    text = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', text)
    text = re.sub(r'href="#([^"]+)"', rf'href="#{name}-\1"', text)
    return re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", text)


def _describe(text: str, description: str) -> str:
    """The root element scales with its container and says what it shows."""
    head, rest = text.split(">", 1)
    head = re.sub(r'\s(width|height)="[^"]*"', "", head)
    return f'{head} role="img" aria-label="{escape(description)}">{rest}'
