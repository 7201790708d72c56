"""Pictures that are on no page, drawn with matplotlib: those of `vitladder bench`."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from io import StringIO
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from vitladder.report import notation
from vitladder.report.style import AXIS, FONT, GRID, INK, MUTED, ROOM, log_ticks
from vitladder.report.svg import described, own_ids

SIZE = (6.4, 4.3)

# Typed Any because only matplotlib >= 3.11 types the keys, and does so as literals.
RC: Any = {
    "svg.fonttype": "none",
    "font.size": 10.5,
    "axes.titlesize": 10.5,
    "axes.labelsize": 10.5,
    "axes.edgecolor": AXIS,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "text.color": INK,
    "xtick.color": AXIS,
    "ytick.color": AXIS,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "xtick.labelsize": 9.5,
    "ytick.labelsize": 9.5,
    "legend.frameon": False,
    "legend.fontsize": 9.5,
    "figure.facecolor": "white",
    "figure.constrained_layout.use": True,
}
TICK_LABELS = {"si": notation.si, "power": notation.power_of_ten}


def figure(size: tuple[float, float] = SIZE) -> Figure:
    """An empty figure; call within `matplotlib.rc_context(RC)`."""
    return Figure(figsize=size)


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


def to_svg(figure: Figure, name: str, description: str) -> str:
    """The figure as one <svg> element; ids start with `name`, `description` is its aria-label."""
    out = StringIO()
    with matplotlib.rc_context(RC | {"svg.hashsalt": name}), warnings.catch_warnings():
        # Text stays text, which the reader's own fonts draw.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    return described(own_ids(_bare(out.getvalue()), name), description)


def _bare(text: str) -> str:
    """The root element alone, in the reader's own fonts."""
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text[text.index("<svg") :], flags=re.DOTALL)
    return re.sub(r"'DejaVu Sans'[^;\"]*", FONT, text)
