"""A page in a real browser, and what it says and asks for there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
ACCESSIBLE = Path(__file__).with_name("accessible.js").read_text(encoding="utf-8")
SCHEMES = ("light", "dark")


class Opened:
    """A page in the browser, what it complained of, and all that it asked for."""

    def __init__(self, tab: Any) -> None:
        self.tab = tab
        self.said: list[str] = []
        self.asked: list[str] = []
        tab.on("console", self._hear)
        tab.on("pageerror", lambda error: self.said.append(str(error)))
        tab.on("request", lambda request: self.asked.append(request.url))

    def _hear(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.said.append(message.text)

    def live(self, name: str) -> Any:
        """The interactive figure, once it is drawn."""
        plot = self.tab.locator(f"#figure-{name} .plot")
        plot.scroll_into_view_if_needed()
        plot.locator(".live svg").wait_for()
        plot.scroll_into_view_if_needed()
        return plot.locator(".live")

    def live_names(self) -> list[str]:
        """The figures that are drawn, all of them interactive by now."""
        ids = "all => all.map(one => one.parentElement.id.replace('figure-', ''))"
        names: list[str] = self.tab.locator("figure > .plot").evaluate_all(ids)
        for name in names:
            self.live(name)
        return names

    def column(self, at: int) -> list[str]:
        """The numbers behind a column of the table of runs."""
        cells = "(all, at) => all.filter(r => !r.hidden).map(r => r.cells[at].dataset.value ?? '')"
        found: list[str] = self.tab.locator("#runs tbody tr").evaluate_all(cells, at)
        return found


@contextmanager
def visited(browser: Any, report: Path, *scripts: str, height: int = 900) -> Iterator[Opened]:
    """A page that is quiet and asks nobody; `scripts` run before its own."""
    context = browser.new_context(viewport={"width": 1280, "height": height}, color_scheme="light")
    page = Opened(context.new_page())
    for script in scripts:
        page.tab.add_init_script(script)
    page.tab.goto(report.as_uri())
    yield page
    context.close()
    assert page.said == []
    assert [url for url in page.asked if not url.startswith("file:")] == []
