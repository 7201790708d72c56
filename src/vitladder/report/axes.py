"""Axes of the page's figures: what Vega-Lite is told of a quantity, its ticks and their text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vitladder.report.style import LOG_LOSS_FROM, ROOM, log_ticks

Channel = dict[str, Any]

_RAISED = "['⁰','¹','²','³','⁴','⁵','⁶','⁷','⁸','⁹']"
_VALUE = "datum.value"
_POWER = f"floor(log({_VALUE})/LN10 + 1e-9)"
_DIGITS = f"format({_VALUE}/pow(10, {_POWER}), '.3~g')"
_TENS = f"floor(abs({_POWER})/10)"
_UP = (
    f"(({_POWER}) < 0 ? '⁻' : '') + ({_TENS} > 0 ? {_RAISED}[{_TENS}] : '') + "
    f"{_RAISED}[abs({_POWER}) % 10]"
)
# Vega's own text of a large number is 1e+10; ours is 10¹⁰, and 34k, 5.2M, 0.3.
TEXT = {
    "power": f"{_VALUE} <= 0 ? '0' : ({_DIGITS} == '1' ? '' : {_DIGITS} + '×') + '10' + {_UP}",
    "si": f"abs({_VALUE}) < 1000 ? format({_VALUE}, '.3~g') : format({_VALUE}, '.3~s')",
}


def log_axis(field: str, title: str, values: Sequence[float], text: str = "si") -> Channel:
    """A log axis over the values with some room; `text` is "si" or "power"."""
    low, high = min(values) / ROOM, max(values) * ROOM
    return _channel(field, title, (low, high), text, "log")


def loss_axis(field: str, title: str, values: Sequence[float]) -> Channel:
    """A loss axis: linear, or logarithmic where the losses differ by a large factor."""
    low, high = min(values), max(values)
    if high > LOG_LOSS_FROM * low:
        return log_axis(field, title, values)
    room = 0.07 * (high - low) or 0.1 * high
    return _channel(field, title, (low - room, high + room), "si", "linear")


def share_axis(field: str, title: str, values: Sequence[float]) -> Channel:
    """A linear axis from 0, of shares in percent."""
    channel = _channel(field, title, (0.0, 1.15 * max(values)), "si", "linear")
    channel["axis"]["tickCount"] = 5
    return channel


def log_ticks_of(channels: dict[str, Channel]) -> dict[str, list[float]]:
    """The ticks of each axis were it logarithmic, for the page's switch; none of those from 0."""
    return {
        name: [short(tick) for tick in log_ticks(*channel["scale"]["domain"])]
        for name, channel in channels.items()
        if channel["type"] == "quantitative" and channel["scale"]["domain"][0] > 0
    }


def _channel(field: str, title: str, domain: tuple[float, float], text: str, scale: str) -> Channel:
    low, high = (short(end) for end in domain)
    axis: dict[str, Any] = {"labelExpr": TEXT[text], "labelOverlap": True, "tickCount": 6}
    if scale == "log":
        axis["values"] = [short(tick) for tick in log_ticks(low, high)]
    return {
        "field": field,
        "type": "quantitative",
        "title": title,
        "scale": {"type": scale, "domain": [low, high], "nice": False},
        "axis": axis,
    }


def short(value: float) -> float:
    """Six significant digits, which no screen tells from more."""
    return float(f"{value:.6g}")
