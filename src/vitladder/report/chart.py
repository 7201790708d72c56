"""A figure of the page as a Vega-Lite specification: layers of marks over one pair of axes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vitladder.report.axes import Channel, log_ticks_of, short
from vitladder.report.style import CONFIG, GROUND, INK

Row = dict[str, Any]
Layer = dict[str, Any]
Tips = Sequence[tuple[str, str]]  # field and title, numbers as 34.2k

WIDTH, HEIGHT = 500, 320
TEXTS = ("run", "C", "state", "choice", "what", "budget")  # fields that are no numbers
PLAIN = ("mfu_percent", "intensity", "measured_seconds", "predicted_seconds")
NOTHING: Mapping[str, Channel] = {}
MOST_WHOLE = 2.0**53
HOVER = "for hovering alone"  # what a layer that nobody sees is called
MANY = 120  # runs
FAINT = 0.1  # the opacity of what a click on the legend leaves out
ROW_OF_LEGEND = 78  # characters that one row of a legend of this width holds


@dataclass(frozen=True)
class Drawing:
    """A specification, and the rows behind it under the names of their columns."""

    spec: dict[str, Any]
    columns: tuple[str, ...]
    rows: list[Row]


def chart(
    layers: Sequence[Layer], x: Channel, y: Channel, title: str = "", height: int = HEIGHT
) -> dict[str, Any]:
    """Layers over shared axes; `usermeta.log` has the ticks of the axes that may be switched."""
    axes = {"x": x, "y": y}
    spec: dict[str, Any] = {
        "background": GROUND,
        "padding": 8,
        "width": WIDTH,
        "height": height,
        "config": CONFIG,
        "usermeta": {"log": log_ticks_of(axes)},
        "encoding": axes,
    }
    spec |= {"title": title} if title else {}
    return spec | _shared([_lean(one, axes) for one in layers])


def _lean(drawn: Layer, axes: Mapping[str, Channel]) -> Layer:
    """The layer without the fields that it does not show."""
    used = _fields([*axes.values(), drawn["encoding"]])
    values = [{k: v for k, v in row.items() if k in used} for row in drawn["data"]["values"]]
    return {**drawn, "data": {"values": values}}


def _fields(node: Any) -> set[str]:
    """Every field that an encoding names."""
    if isinstance(node, list):
        return set().union(*map(_fields, node))
    if not isinstance(node, dict):
        return set()
    own = {node["field"]} if isinstance(node.get("field"), str) else set()
    return own.union(*map(_fields, node.values()))


def _shared(layers: Sequence[Layer]) -> dict[str, Any]:
    """Layers and their data sets under names, each once."""
    sets: list[list[Row]] = []
    named = []
    for drawn in layers:
        values = drawn["data"]["values"]
        if values not in sets:
            sets.append(values)
        named.append({**drawn, "data": {"name": f"rows{sets.index(values)}"}})
    return {"datasets": {f"rows{k}": rows for k, rows in enumerate(sets)}, "layer": named}


def still(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The specification without the layers that are for hovering alone."""
    return {**spec, "layer": [one for one in spec["layer"] if one.get("description") != HOVER]}


def packed(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The specification with its data in columns, and text that repeats written once.

    The page's script unpacks it: a column is a list of values, or `of` different ones and which
    each row has, `at`.
    """
    sets = {name: _columns(rows) for name, rows in spec["datasets"].items()}
    return {**spec, "datasets": sets}


def _columns(rows: Sequence[Row]) -> dict[str, Any]:
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: _column([row.get(name) for row in rows]) for name in names}


def _column(values: Sequence[Any]) -> Any:
    different = list(dict.fromkeys(values))
    if len(different) > len(values) / 2:
        return list(values)
    places = {value: place for place, value in enumerate(different)}
    return {"of": different, "at": [places[value] for value in values]}


def colour(field: str, title: str, scale: Mapping[str, Any]) -> Channel:
    """The colour of a nominal field, with a legend of as few rows as it needs."""
    names = scale["domain"]
    longest = max(len(str(name)) for name in names) + 6  # its symbol and the gaps
    rows = math.ceil(len(names) / max(1, ROW_OF_LEGEND // longest))
    columns = math.ceil(len(names) / rows)  # rows of the same length
    return {
        "field": field,
        "type": "nominal",
        "title": title,
        "scale": dict(scale),
        "legend": {"columns": columns} if len(names) > 1 else None,
    }


def layer(
    rows: Sequence[Row],
    mark: Mapping[str, Any],
    encoding: Mapping[str, Channel] = NOTHING,
    *,
    tips: Tips = (),
) -> Layer:
    """Marks of rows; `tips` are shown on hover, `encoding` is added to the shared axes."""
    # A mark that says nothing on hover leaves it to those below.
    added = {"tooltip": [_tip(*one) for one in tips] if tips else {"value": None}}
    values = [{name: _short(value) for name, value in row.items()} for row in rows]
    return {"data": {"values": values}, "mark": dict(mark), "encoding": {**encoding, **added}}


def toggled(drawn: Layer, field: str) -> Layer:
    """The layer, which a click on the legend of `field` shows alone."""
    select = {"type": "point", "fields": [field], "toggle": "true"}
    return {**drawn, "params": [{"name": "shown", "select": select, "bind": "legend"}]}


def dimmed(opacity: float = 1.0) -> Channel:
    """The opacity of what the legend shows, and that of what it leaves out."""
    return {"condition": {"param": "shown", "value": opacity}, "value": FAINT * opacity}


def diagonal(x: Channel, y: Channel, colour: str) -> Layer:
    """The line on which both axes are equal, from end to end."""
    ends = [*x["scale"]["domain"], *y["scale"]["domain"]]
    # Many points: with one axis logarithmic it bends.
    rows = [{x["field"]: value, y["field"]: value} for value in steps_between(min(ends), max(ends))]
    return layer(rows, {"type": "line", "strokeWidth": 1.2, "color": colour})


def steps_between(low: float, high: float, count: int = 41) -> list[float]:
    """So many values from low to high, on a log scale where there is one."""
    steps = [step / (count - 1) for step in range(count)]
    if low <= 0:
        return [low + step * (high - low) for step in steps]
    return [low * (high / low) ** step for step in steps]


def dots(count: int) -> dict[str, Any]:
    """A mark for so many runs: where they are many, small ones."""
    return {
        "type": "point",
        "filled": True,
        "size": 50 if count <= MANY else 16,
        "color": INK,
        "opacity": 0.8,
    }


def _tip(field: str, title: str) -> Channel:
    """Text is shown as it is, numbers with three digits."""
    if field in TEXTS:
        return {"field": field, "type": "nominal", "title": title}
    # SI of what is below 1 would be milli.
    form = ".4~f" if "loss" in field else ".3~g" if field in PLAIN else ".3~s"
    return {"field": field, "type": "quantitative", "title": title, "format": form}


def _short(value: Any) -> Any:
    """A number as short as it may be, and whole where it is."""
    if not isinstance(value, float):
        return value
    rounded = short(value)
    return int(rounded) if rounded.is_integer() and abs(rounded) < MOST_WHOLE else rounded
