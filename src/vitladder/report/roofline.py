"""The roofline of a machine with every part of a model on it (Williams et al. 2009)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from vitladder.compute.part import Part
from vitladder.compute.roofline import Roofline
from vitladder.errors import UserError
from vitladder.report.notation import with_unit
from vitladder.report.pictures import RC, figure, log_axis
from vitladder.report.style import ACCENT, INK, MUTED, ROOM

COLOURS = {"matmul": "#31688e", "element-wise": ACCENT}
SIZE = (7.6, 5.0)
FONT_SIZE = 9.5
# A line of labels as a share of the axes' height, which is about 0.8 of the figure's.
LINE = 1.3 * FONT_SIZE / (0.8 * 72 * SIZE[1])
SLOPE = 0.26  # of the axes' width that the rising roof has at least: half of it holds its label
RIGHT = 0.74  # where the rightmost part lies, as a share of the width: its label follows
HEADROOM = 2.5  # the y axis ends at this multiple of the peak


def roofline_plot(roof: Roofline, parts: Sequence[Part], title: str) -> Figure:
    """Attainable FLOP/s over arithmetic intensity, each part's forward a labelled point.

    A point is what the part could reach, not what was measured, so it lies on the roof, which is
    one for parts of every precision. A label ends with the part's share of the forward's time,
    were all at the roof. Parts without FLOPs, such as casts, have no place but their share.
    Raises UserError where no part has any.
    """
    shown = sorted((p for p in parts if p.forward.intensity), key=_intensity)
    if not shown:
        raise UserError("a roofline needs at least one part with FLOPs")
    heights = [roof.attainable(_intensity(part)) for part in shown]
    low = _lowest(heights, roof.peak)
    with matplotlib.rc_context(RC):
        fig = figure(SIZE)
        axes = fig.subplots()
        _axes(axes, roof, [_intensity(part) for part in shown], low)
        levels = _levels(heights, low, HEADROOM * roof.peak)
        for part, height, level in zip(shown, heights, levels, strict=True):
            at = low * (HEADROOM * roof.peak / low) ** level
            text = f"{part.name}  {_share(roof, part, parts)}"
            _labelled(axes, (_intensity(part), height), at, text, COLOURS[part.kind])
        axes.set_title(title, loc="left", color=INK)
    return fig


def _intensity(part: Part) -> float:
    return part.forward.intensity or 0.0


def _share(roof: Roofline, part: Part, parts: Sequence[Part]) -> str:
    seconds = [roof.seconds(p.forward.flops, p.forward.bytes_moved) for p in parts]
    own = roof.seconds(part.forward.flops, part.forward.bytes_moved)
    percent = 100 * own / sum(seconds)
    return f"{percent:.0f} %" if percent >= 1 else "<1 %"


def _lowest(heights: Sequence[float], peak: float) -> float:
    """Return where the y axis begins: low enough that the lowest label is above it."""
    low = min(heights) / 2
    while _levels(heights, low, HEADROOM * peak)[0] < LINE / 2:
        low /= 1.1
    return low


def _levels(heights: Sequence[float], low: float, high: float) -> list[float]:
    """Return where labels stand, as shares of the axes' height.

    Each is under its own point and a line under the label of the next part to the right. So no
    label meets another, nor the line that leads to one.
    """
    levels: list[float] = []
    for height in reversed(heights):
        under = math.log(height / low) / math.log(high / low) - 1.2 * LINE
        levels.append(min([under, *(level - LINE for level in levels[-1:])]))
    return levels[::-1]


def _axes(axes: Axes, roof: Roofline, intensities: Sequence[float], low: float) -> None:
    last = max([*intensities, roof.ridge])
    slope = roof.ridge * (roof.ridge / last) ** (SLOPE / (RIGHT - SLOPE))
    first = min([*(one / 2 for one in intensities), roof.ridge / 2, slope])
    end = first * (last / first) ** (1 / RIGHT)
    label = "arithmetic intensity of the forward, FLOP/byte"
    log_axis(axes, "x", [first * ROOM, end / ROOM], "si", label)
    high = HEADROOM * roof.peak
    log_axis(axes, "y", [low * ROOM, high / ROOM], "si", "attainable FLOP/s")
    axes.plot(
        [first, roof.ridge, end],
        [roof.attainable(at) for at in (first, roof.ridge, end)],
        color=INK,
        lw=1.4,
        zorder=2,
    )
    marks = [
        Line2D([], [], ls="none", marker="o", ms=6, mew=0, color=colour, label=kind)
        for kind, colour in COLOURS.items()
    ]
    axes.legend(handles=marks, loc="upper left", handletextpad=0.2)
    note: dict[str, Any] = {"color": MUTED, "fontsize": FONT_SIZE, "textcoords": "offset points"}
    peak, bandwidth = with_unit(roof.peak, "FLOP/s"), with_unit(roof.bandwidth, "B/s")
    axes.annotate(peak, (end, roof.peak), xytext=(-2, 4), ha="right", va="bottom", **note)
    middle = math.sqrt(first * roof.ridge)
    place = (middle, roof.attainable(middle))
    axes.annotate(bandwidth, place, xytext=(-8, 2), ha="right", va="bottom", **note)


def _labelled(axes: Axes, place: tuple[float, float], level: float, text: str, colour: str) -> None:
    """A point, a thin line down to its level, and the text to the right of the line's end."""
    intensity, height = place
    axes.plot([intensity, intensity], [height, level], color=colour, lw=0.7, alpha=0.6, zorder=1)
    axes.plot(intensity, height, "o", ms=6, mew=0, color=colour, zorder=3)
    axes.annotate(
        text,
        (intensity, level),
        xytext=(3, 0),
        textcoords="offset points",
        va="center",
        color=colour,
        fontsize=FONT_SIZE,
    )
