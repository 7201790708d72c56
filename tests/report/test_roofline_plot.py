"""The roofline plot: every part is a point on the roof, and every label can be read."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Annotation
from matplotlib.transforms import Bbox

from vitladder.compose import compose_config
from vitladder.compute.part import Part, Work
from vitladder.compute.parts import training_parts
from vitladder.compute.plan import load_kernel, resolve
from vitladder.compute.roofline import Roofline
from vitladder.compute.shape import shape_of
from vitladder.config import DataShape
from vitladder.errors import UserError
from vitladder.report.pictures import to_svg
from vitladder.report.roofline import COLOURS, roofline_plot

IMAGENET = DataShape(train_images=1, val_images=1, image_size=224, channels=3, classes=1000)
CPU = Roofline(peak=180e9, bandwidth=20e9)
H100 = Roofline(peak=989e12, bandwidth=3.35e12)


@cache
def parts_of(attention: str, batch: int = 32, element_size: int = 4) -> tuple[Part, ...]:
    overrides = ["model=b16", "model.kv_heads=4", f"attention={attention}", "model.qk_norm=true"]
    config = resolve(compose_config(overrides), IMAGENET)
    kernel = load_kernel(config)
    return training_parts(shape_of(config.model), kernel, batch, element_size, rotates=True)


def labels(axes: Axes) -> list[Annotation]:
    return [text for text in axes.texts if isinstance(text, Annotation)]


def boxes(fig: Figure) -> tuple[list[Bbox], Bbox, Bbox]:
    """Where the labels, the legend and the axes are, in pixels."""
    canvas = FigureCanvasAgg(fig)
    canvas.draw()
    (axes,) = fig.axes
    found = [Bbox(text.get_window_extent(canvas.get_renderer())) for text in labels(axes)]
    legend = axes.get_legend()
    assert legend is not None
    return found, Bbox(legend.get_window_extent()), axes.bbox.frozen()


@settings(max_examples=15)
@given(
    attention=st.sampled_from(["naive", "sdpa", "linear"]),
    batch=st.sampled_from([1, 32, 1024]),
    element_size=st.sampled_from([2, 4]),
    ridge=st.floats(0.5, 1000),
)
@example("linear", 1, 2, 0.5)
@example("naive", 1024, 4, 1000.0)
@example("naive", 32, 2, 0.5625)
@example("linear", 32, 4, 3000.0)
def test_no_label_overlaps_another_or_leaves_the_axes(
    attention: str, batch: int, element_size: int, ridge: float
) -> None:
    roof = Roofline(peak=1e12, bandwidth=1e12 / ridge)
    fig = roofline_plot(roof, parts_of(attention, batch, element_size), "any machine")
    found, legend, axes = boxes(fig)
    for box in found:
        assert axes.x0 <= box.x0 <= box.x1 <= axes.x1 + 1
        assert axes.y0 - 2 <= box.y0 <= box.y1 <= axes.y1
    for one, other in combinations([*found, legend], 2):
        both = Bbox.intersection(one, other)
        assert both is None or min(both.width, both.height) <= 1


@pytest.mark.parametrize("roof", [CPU, H100], ids=["cpu", "h100"])
def test_every_part_with_flops_is_a_point_on_the_roof_in_its_colour(roof: Roofline) -> None:
    parts = parts_of("naive")
    (axes,) = roofline_plot(roof, parts, "title").axes
    points = {
        (line.get_xdata()[0], line.get_ydata()[0], line.get_color())
        for line in axes.lines
        if len(line.get_xdata()) == 1
    }
    expected = {
        (part.forward.intensity, roof.attainable(part.forward.intensity), COLOURS[part.kind])
        for part in parts
        if part.forward.intensity
    }
    assert points == expected
    assert "key repetition" not in " ".join(text.get_text() for text in labels(axes))


def test_labels_name_the_parts_their_share_of_time_and_the_limits() -> None:
    parts = (
        Part("large", "matmul", 4, Work(300, 1), Work(0, 0)),
        Part("small", "element-wise", 4, Work(1, 10), Work(0, 0)),
    )
    (axes,) = roofline_plot(Roofline(10, 1), parts, "mine").axes
    texts = [text.get_text() for text in labels(axes)]
    assert texts == ["10 FLOP/s", "1 B/s", "small  25 %", "large  75 %"]
    assert axes.get_title(loc="left") == "mine"


def test_it_is_written_as_svg() -> None:
    svg = to_svg(roofline_plot(CPU, parts_of("sdpa"), "title"), "roofline", "a roofline")
    assert "patch embedding" in svg
    assert "180 GFLOP/s" in svg


def test_parts_without_flops_have_no_roofline() -> None:
    with pytest.raises(UserError, match="at least one part with FLOPs"):
        roofline_plot(CPU, (Part("cast", "element-wise", 4, Work(0, 8), Work(0, 8)),), "title")


def test_drawing_needs_no_torch(tmp_path: Path) -> None:
    code = "import sys, vitladder.report.roofline; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=False).returncode == 0
