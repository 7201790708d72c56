"""SVG text that can stand in a page: ids that no other figure has, and a name."""

from __future__ import annotations

import re
from html import escape


def own_ids(text: str, name: str) -> str:
    """Several inline figures share one page's ids, so each id and each use of it is prefixed."""
    text = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', text)
    text = re.sub(r'href="#([^"]+)"', rf'href="#{name}-\1"', text)
    return re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", text)


def described(text: str, description: str) -> str:
    """The root element scales with its container and says what it shows."""
    head, rest = text.split(">", 1)
    head = re.sub(r'\s(width|height)="[^"]*"', "", head)
    return f'{head} role="img" aria-label="{escape(description)}">{rest}'
