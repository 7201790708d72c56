"""What the HTML of a page is made of."""

from __future__ import annotations

from collections import Counter
from html.parser import HTMLParser


class Structure(HTMLParser):
    """Tags that must be balanced, ids, references, and whatever would be loaded."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.references: list[str] = []
        self.loads: list[str] = []
        self.links: list[str] = []
        self.tags: Counter[str] = Counter()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        if tag not in ("meta", "br", "link", "img", "input"):
            self.open.append(tag)
        self.handle_attributes(tag, attrs)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.handle_attributes(tag, attrs)

    def handle_attributes(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            if name in ("aria-labelledby", "for"):
                self.references.append(f"#{value}")
            if name in ("href", "xlink:href", "src"):
                text = value or ""
                if text.startswith("#"):
                    self.references.append(text)
                elif tag == "a" and name == "href":
                    self.links.append(text)
                else:
                    self.loads.append(text)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
