"""Text of records is text on the page and in its figures, whatever it would be as HTML."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from laws_study import write_run, write_study
from matplotlib.figure import Figure

from vitladder.laws.fit import fit_or_reasons
from vitladder.report.page import write_page
from vitladder.report.pictures import to_svg

SCRIPT = "<script>alert(1)</script>"
IMAGE = '"><img src=x onerror=alert(1)>'
CLOSING = "'/></text></svg><script>alert(1)</script>"
EVIL = (SCRIPT, IMAGE, CLOSING)


class Loaded(HTMLParser):
    """Tags that a page would run or load, attributes that would run, and the page's own scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.scripts: list[dict[str, str | None]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        if tag == "script":
            self.scripts.append(dict(attrs))
        if tag in ("img", "iframe", "object", "link"):
            self.found.append(tag)
        self.found += [str(value) for name, value in attrs if "script:" in f"{name}{value}".lower()]
        self.found += [name for name, _ in attrs if name.startswith("on")]

    handle_startendtag = handle_starttag


def say(file: Path, evil: str) -> None:
    """Write it wherever a record has text that the user, a plugin or a machine chose."""
    record: dict[str, Any] = json.loads(file.read_text())
    record |= {"study": evil, "command": f"vitladder train {evil}", "error": f"no room {evil}"}
    record["config"]["data"] = {"path": evil, "classes": [evil], "name": evil}
    record["environment"] |= {
        "machine": evil,
        "device": evil,
        "precision": evil,
        "git_commit": evil,
        "versions": {evil: evil},
    }
    file.write_text(json.dumps(record))


def evil_study(folder: Path, evil: str, *, plugins: bool) -> Path:
    """Runs at four budgets, or of two plugins; each kind has figures of its own."""
    if plugins:
        for attention in (evil, "sdpa"):
            for k in range(2):
                key = f"{attention.count('<')}{k}"
                write_run(folder, key, attention=attention, loss=1.0 + k, n_params=4000 * (k + 1))
    else:
        write_study(folder)
    key = f"lost{evil.replace('/', '')}"
    write_run(folder, key, status="failed", loss=None)
    for file in folder.glob("*/record.json"):
        say(file, evil)
        (file.parent / "metrics.csv").write_text(
            "step,images,flops,train_loss,val_loss\n1,64,1e9,2.5,2.4\n2,128,2e9,2.2,2.1\n"
        )
    return folder


@pytest.mark.parametrize("evil", EVIL)
def test_the_description_of_a_figure_is_never_a_tag(evil: str) -> None:
    drawn = Figure()
    drawn.text(0.5, 0.5, evil)
    text = to_svg(drawn, "figure", evil)
    assert Loaded(text).found == Loaded(text).scripts == []
    assert f'aria-label="{escape(evil)}"' in text


@pytest.mark.parametrize("plugins", [False, True], ids=["of laws", "of plugins"])
@pytest.mark.parametrize("evil", EVIL)
def test_text_of_records_is_never_a_tag(tmp_path: Path, evil: str, plugins: bool) -> None:
    folder = evil_study(tmp_path / "study", evil, plugins=plugins)
    fit = fit_or_reasons(folder, bootstrap=0)
    page = write_page(folder, fit, command=f"vitladder report {evil}").read_text()
    figures = [file.read_text() for file in folder.glob("figures/*.svg")]
    assert len(figures) >= 2
    for text in (page, *figures):
        assert Loaded(text).found == []
        assert evil not in text
        assert "<img" not in text
        assert "<!--" not in text
    for text in figures:
        assert "<script" not in text
    specs = [{"type": "application/json", "class": "spec"}] * len(figures)
    own = [{"type": "text/plain", "id": "vega"}, {"type": "application/json", "id": "colours"}]
    assert Loaded(page).scripts == [*specs, *own, {}, {}]
    assert page.count("<script") == page.count("</script") == len(figures) + 4
    assert escape(evil) in page
    assert f"lost{escape(evil.replace('/', ''))}" in page
