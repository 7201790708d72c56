"""How figures look: one palette, one type size, quiet axes, ticks that can be read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from vitladder.report import notation

INK = "#1c2430"
MUTED = "#66717f"
GRID = "#e8ebef"
EDGE = "#9aa4b0"
ACCENT = "#c2410c"  # what is held out, or extrapolated from
SIZE = (6.4, 4.3)
ROOM = 1.35  # factor of empty space beside the data on a log axis
LOG_LOSS_FROM = 4.0  # a loss axis is logarithmic from this ratio of highest to lowest

# Typed Any because only matplotlib >= 3.11 types the keys, and does so as literals.
RC: Any = {
    "svg.fonttype": "none",
    "font.size": 10.5,
    "axes.titlesize": 10.5,
    "axes.labelsize": 10.5,
    "axes.edgecolor": "#b9c1ca",
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "text.color": INK,
    "xtick.color": "#b9c1ca",
    "ytick.color": "#b9c1ca",
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "xtick.labelsize": 9.5,
    "ytick.labelsize": 9.5,
    "legend.frameon": False,
    "legend.fontsize": 9.5,
    "figure.facecolor": "white",
    "figure.constrained_layout.use": True,
}

_viridis = matplotlib.colormaps["viridis"]
# Viridis without its last, yellow part, which is too pale for lines on white; 48 steps, because
# matplotlib turns a colour bar of 50 or more into a bitmap.
PALETTE = LinearSegmentedColormap.from_list(
    "ladder", [_viridis(0.82 * step / 47) for step in range(48)], N=48
)


class Shades:
    """Colours along a log scale: dark is small, light is large."""

    def __init__(self, values: Sequence[float]) -> None:
        low, high = min(values), max(values)
        self.varied = high > low * 1.01
        self.norm = LogNorm(low, high) if self.varied else LogNorm(low / 2, high * 2)
        self.mappable = ScalarMappable(norm=self.norm, cmap=PALETTE)

    def __call__(self, value: float) -> tuple[float, float, float, float]:
        red, green, blue, alpha = PALETTE(float(self.norm(value)))
        return red, green, blue, alpha


def figure(size: tuple[float, float] = SIZE) -> Figure:
    """An empty figure; call within `matplotlib.rc_context(RC)`."""
    return Figure(figsize=size)


def colour_bar(fig: Figure, axes: Axes, shades: Shades, label: str, values: str) -> None:
    """The colours' meaning, where there is more than one; `values` is "si" or "power"."""
    if not shades.varied:
        return
    bar = fig.colorbar(shades.mappable, ax=axes, pad=0.02, aspect=28)
    bar.set_label(label)
    if bar.solids is not None:
        bar.solids.set_edgecolor("face")  # without it, thin seams show between the steps
    bar.outline.set_visible(False)
    low, high = shades.norm.vmin or 1.0, shades.norm.vmax or 1.0
    bar.ax.minorticks_off()
    ticks = log_ticks(low, high)
    bar.set_ticks(ticks, labels=[TICK_LABELS[values](tick) for tick in ticks])


TICK_LABELS = {"si": notation.si, "power": notation.power_of_ten}


def log_axis(axes: Axes, which: str, values: Sequence[float], labels: str, label: str) -> None:
    """A log axis over the values with some room; `labels` is "si" or "power"."""
    low, high = min(values) / ROOM, max(values) * ROOM
    axis = axes.xaxis if which == "x" else axes.yaxis
    # The limits are set here: left to itself, matplotlib warns where all values are (nearly) equal.
    (axes.set_autoscalex_on if which == "x" else axes.set_autoscaley_on)(False)
    (axes.set_xscale if which == "x" else axes.set_yscale)("log")
    (axes.set_xlim if which == "x" else axes.set_ylim)(low, high)
    axis.set_major_locator(FixedLocator(log_ticks(low, high)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: TICK_LABELS[labels](value)))
    axis.set_label_text(label)


def loss_axis(axes: Axes, which: str, values: Sequence[float], label: str) -> None:
    """A loss axis: linear, or logarithmic where the losses differ by a large factor."""
    low, high = min(values), max(values)
    if high > LOG_LOSS_FROM * low:
        log_axis(axes, which, values, "si", label)
        return
    room = 0.07 * (high - low) or 0.1 * high
    (axes.set_xlim if which == "x" else axes.set_ylim)(low - room, high + room)
    (axes.set_xlabel if which == "x" else axes.set_ylabel)(label)


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
