"""Figures as text and pixels: small, and with every number of their words as it was."""

from __future__ import annotations

import base64
import gzip
import re

from vitladder.report.axes import log_axis
from vitladder.report.chart import chart, dots, layer
from vitladder.report.style import GROUND
from vitladder.report.vega import bundle, in_readers_font, to_png, to_svg, without_ground

ROWS = [{"n": 10 ** (k / 7), "s": 3.0 + k} for k in range(8)]
SPEC = chart(
    [layer(ROWS, dots(8))],
    log_axis("n", "size", [1, 10]),
    log_axis("s", "speed", [3, 10]),
    "1/3 = 0.3333",
)


def test_places_are_rounded_and_words_are_not() -> None:
    svg = to_svg(SPEC, "figure", "It says 0.12345.")
    assert "It says 0.12345." in svg
    assert svg.count("1/3 = 0.3333") == 2
    places = re.findall(r' (?:transform|d)="([^"]*)"', svg)
    assert places
    assert not [place for place in places if re.search(r"\.\d{3}", place)]


def test_a_figure_has_its_own_ground_until_a_card_is_its_ground() -> None:
    svg = to_svg(SPEC, "figure", "words")
    assert svg.count(f'fill="{GROUND}"') == 1
    assert GROUND not in without_ground(svg)
    assert "system-ui" in in_readers_font(svg)
    assert to_png(svg).startswith(b"\x89PNG")


def test_the_script_is_whole_when_it_is_unpacked() -> None:
    script = gzip.decompress(base64.b64decode(bundle())).decode()
    assert re.search(r"window\.vegaEmbed=[\w$]+;$", script.strip())
    assert len(bundle()) < 500_000
