"""How figures look: one finite table of colours with their dark twins, type, and log ticks."""

from __future__ import annotations

import math
from typing import Any

INK = "#1c2430"
MUTED = "#5c6774"
GRID = "#e8ebef"
AXIS = "#b9c1ca"
EDGE = "#8a94a1"
ACCENT = "#c2410c"  # what is held out, or extrapolated from
GROUND = "#ffffff"  # the card that a figure stands on

# Viridis, small to large, without its palest part.
RAMP = (
    "#440154",
    "#482475",
    "#414487",
    "#355f8d",
    "#2a788e",
    "#21918c",
    "#22a884",
    "#44bf70",
)
# Okabe & Ito's set without its yellow, which is too pale for dots on white; shapes go with it.
CHOICES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7a5195")
SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-right")

# Each colour on a dark ground: the same order of lightness against it.
DARK = {
    INK: "#e6e9ed",
    MUTED: "#9aa5b1",
    GRID: "#2b323b",
    AXIS: "#4b5561",
    EDGE: "#7f8a97",
    ACCENT: "#ff8a5c",
    GROUND: "#1c2128",
    "#440154": "#29788e",
    "#482475": "#21918d",
    "#414487": "#22a785",
    "#355f8d": "#42be71",
    "#2a788e": "#6ece58",
    "#21918c": "#a5db36",
    "#22a884": "#d2e21b",
    "#44bf70": "#fde725",
    "#0072b2": "#4a9fe0",
    "#d55e00": "#f0803c",
    "#009e73": "#2fc299",
    "#cc79a7": "#dd9cc0",
    "#7a5195": "#a98bd0",
}

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Liberation Sans', Arial, sans-serif"
ROOM = 1.35  # factor of empty space beside the data on a log axis
LOG_LOSS_FROM = 4.0  # a loss axis is logarithmic from this ratio of highest to lowest

# Vega-Lite's configuration, the same for every figure.
CONFIG: dict[str, Any] = {
    "aria": False,  # a figure has one name and a table, its marks need none each
    "mark": {"aria": False},
    "font": FONT,
    "view": {"stroke": None},
    "axis": {
        "domainColor": AXIS,
        "gridColor": GRID,
        "tickColor": AXIS,
        "tickSize": 4,
        "labelColor": MUTED,
        "labelFontSize": 11.5,
        "labelPadding": 5,
        "titleColor": INK,
        "titleFontSize": 12.5,
        "titleFontWeight": "normal",
        "titlePadding": 10,
    },
    "legend": {
        "orient": "top",
        "direction": "horizontal",
        "labelColor": INK,
        "labelFontSize": 11.5,
        "labelLimit": 320,
        "titleColor": MUTED,
        "titleFontSize": 11.5,
        "titleFontWeight": "normal",
        "titleLimit": 320,
        "symbolOpacity": 1,
        "symbolSize": 70,
        "symbolStrokeWidth": 1.6,
        "columnPadding": 14,
        "rowPadding": 4,
        "offset": 12,
    },
    "title": {
        "anchor": "start",
        "frame": "group",
        "color": INK,
        "fontSize": 13,
        "fontWeight": "normal",
        "offset": 12,
    },
}


def log_ticks(low: float, high: float) -> list[float]:
    """Decades between low and high, with more digits where those are few; the ends if none."""
    ticks: list[float] = []
    for digits in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 6, 8)):
        decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        ticks = [digit * 10.0**decade for decade in decades for digit in digits]
        ticks = [tick for tick in ticks if low * (1 - 1e-9) <= tick <= high * (1 + 1e-9)]
        if len(ticks) >= 4:
            break
    if not ticks:
        return [low, high]
    return ticks[:: math.ceil(len(ticks) / 8)]
