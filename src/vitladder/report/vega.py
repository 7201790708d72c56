"""Vega-Lite specifications as SVG and PNG, and the JavaScript that draws them in a browser."""

from __future__ import annotations

import base64
import gzip
import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import vl_convert

from vitladder.report.style import FONT, GROUND
from vitladder.report.svg import described, own_ids

PNG_SCALE = 2.0
_PLACES = re.compile(r' (?:transform|d|x|y|x2|y2)="[^"]*"')  # text has numbers of its own
_LONG = re.compile(r"-?\d+\.\d{3,}")
# Text is as wide as in this font, wherever the page is made; it has all raised digits.
_MEASURED = "DejaVu Sans"
_NEEDED = "window.vegaEmbed = vegaEmbed;"


def to_svg(spec: dict[str, Any], name: str, description: str) -> str:
    """A figure as one <svg> on its own ground; ids start with `name`."""
    _fonts()
    measured = spec | {"config": spec["config"] | {"font": _MEASURED}}
    text = _PLACES.sub(_rounded, vl_convert.vegalite_to_svg(measured))
    return described(own_ids(text, name), description)


def in_readers_font(svg: str) -> str:
    """The figure in the font of whoever looks at it."""
    return svg.replace(f'font-family="{_MEASURED}"', f'font-family="{FONT}"')


def without_ground(svg: str) -> str:
    """The figure for a page whose card is its ground, light or dark."""
    return re.sub(rf'<rect width="[\d.]+" height="[\d.]+" fill="{GROUND}"\s*/>', "", svg, count=1)


def to_png(svg: str) -> bytes:
    """The figure as pixels, two for each of the SVG's."""
    return bytes(vl_convert.svg_to_png(svg, scale=PNG_SCALE))


@cache
def _fonts() -> None:
    """Have the font that matplotlib brings along at hand."""
    found = find_spec("matplotlib")
    if found is not None and found.origin is not None:
        fonts = Path(found.origin).parent / "mpl-data" / "fonts" / "ttf"
        vl_convert.register_font_directory(str(fonts))


@cache
def bundle() -> str:
    """Vega, Vega-Lite and Vega-Embed, compressed, as base64: unpacked when first needed."""
    script = vl_convert.javascript_bundle(_NEEDED)
    return base64.b64encode(gzip.compress(script.encode(), 9, mtime=0)).decode("ascii")


def _rounded(places: re.Match[str]) -> str:
    return _LONG.sub(_tenths, places[0])


def _tenths(number: re.Match[str]) -> str:
    """No screen shows a hundredth of a pixel."""
    return f"{float(number[0]):.1f}".removesuffix(".0")
