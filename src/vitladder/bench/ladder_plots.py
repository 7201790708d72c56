"""The figures of the optimisation ladder: its rungs, and attention over the tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vitladder.bench.attention_scaling import Point
from vitladder.bench.ladder import Ladder, Row
from vitladder.report.pictures import figure, log_axis
from vitladder.report.style import ACCENT, EDGE, INK, MUTED

COLOURS = {"naive": ACCENT, "sdpa": INK, "flash": "#2a788e"}
LINES = {"fp32": "-", "bf16": "--"}


def ladder_figure(ladder: Ladder) -> Figure:
    """A bar for each rung with its range over rounds and its ratio to the first."""
    rows = [row for row in ladder.rows if row.median is not None]
    fig = figure((7.2, 0.9 + 0.42 * len(rows)))
    axes = fig.subplots()
    places = range(len(rows))
    medians = [row.median or 0.0 for row in rows]
    ends = [[m - min(row.images_per_s) for m, row in zip(medians, rows, strict=True)]]
    ends += [[max(row.images_per_s) - m for m, row in zip(medians, rows, strict=True)]]
    axes.barh(places, medians, height=0.62, color=[INK if row.carried else EDGE for row in rows])
    axes.errorbar(medians, places, xerr=ends, fmt="none", ecolor=MUTED, elinewidth=1, capsize=2.5)
    axes.set_yticks(places, [row.label for row in rows])
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    furthest = max(max(row.images_per_s) for row in rows)
    axes.set_xlim(0, 1.16 * furthest)
    axes.set_xlabel("images/s, median and range over rounds; dark: carried on")
    for place, row in zip(places, rows, strict=True):
        _ratio(axes, place, row, furthest)
    return fig


def attention_time(points: Sequence[Point]) -> Figure:
    """The fastest forward and backward over the tokens in ms, a line for each kernel."""
    return _over_tokens(points, lambda point: point.fastest, "forward + backward, ms")


def attention_memory(points: Sequence[Point]) -> Figure:
    """The most MiB held during forward and backward over the tokens, a line for each kernel."""
    return _over_tokens(points, lambda point: point.memory_bytes / 2**20, "peak memory, MiB")


def _ratio(axes: Axes, place: int, row: Row, furthest: float) -> None:
    axes.annotate(
        "" if row.ratio_first is None else f"{row.ratio_first:.2f}x",
        (max(row.images_per_s) + 0.015 * furthest, place),
        va="center",
        color=INK if row.carried else MUTED,
        fontsize=9.5,
    )


def _over_tokens(points: Sequence[Point], value: Callable[[Point], float], label: str) -> Figure:
    fig = figure()
    axes = fig.subplots()
    for kernel, precision in dict.fromkeys((point.kernel, point.precision) for point in points):
        own = [point for point in points if (point.kernel, point.precision) == (kernel, precision)]
        axes.plot(
            [point.tokens for point in own],
            [value(point) for point in own],
            f"o{LINES[precision]}",
            ms=4.5,
            lw=1.5,
            mew=0,
            color=COLOURS.get(kernel, MUTED),
            label=f"{kernel}, {precision}",
        )
    tokens = sorted({point.tokens for point in points})
    log_axis(axes, "x", tokens, "si", "tokens N")
    axes.set_xticks(tokens, [str(count) for count in tokens])
    log_axis(axes, "y", [value(point) for point in points], "si", label)
    axes.legend(loc="upper left")
    return fig
