"""What several figures of a study share: its runs as dots, its minima as stars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vitladder.laws.study import RunPoint
from vitladder.report.axes import Channel
from vitladder.report.chart import NOTHING, Layer, Row, Tips, layer
from vitladder.report.notation import power_of_ten
from vitladder.report.style import ACCENT, EDGE, GROUND

FitData = Mapping[str, Any]
"""What `fit_study` returns, and fit.json holds."""

STAR = (
    "M0,-1L0.235,-0.324L0.951,-0.309L0.38,0.124L0.588,0.809L0,0.4L-0.588,0.809L-0.38,0.124"
    "L-0.951,-0.309L-0.235,-0.324Z"
)
N, C, LOSS = "parameters N", "training FLOPs C", "validation loss"
RUN_TIPS: Tips = (("run", "run"), ("n_params", "N"), ("images", "D"), ("C", "C"), ("loss", "loss"))
MINIMUM_TIPS: Tips = (("what", " "), *RUN_TIPS[1:])
MANY_STARS = 16
COLUMNS = ("what", "run", "budget_flops", "n_params", "images", "flops", "loss")


def run_row(run: RunPoint, **more: Any) -> Row:
    """A run's numbers for a figure, its hover and its CSV."""
    return {
        "what": "run",
        "run": run.run_key,
        "budget_flops": run.budget,
        "n_params": run.n_params,
        "images": run.images,
        "flops": run.flops,
        "loss": run.loss,
        "C": power_of_ten(run.flops, 3),
        **more,
    }


def minima(fit: FitData) -> list[Mapping[str, Any]]:
    """The IsoFLOP minima of a fit; none where it has no such law."""
    law = (fit.get("laws") or {}).get("isoflop")
    return law["minima"] if law else []


def minimum_row(minimum: Mapping[str, Any], **more: Any) -> Row:
    """A minimum's numbers; at an edge it is the lowest run."""
    return {
        "what": "lowest run, at an edge" if minimum["edge"] else "minimum",
        "budget_flops": minimum["budget"],
        "n_params": minimum["n_params"],
        "images": minimum["images"],
        "flops": minimum["flops"],
        "loss": minimum["loss"],
        "C": power_of_ten(minimum["flops"], 3),
        **more,
    }


def minimum_rows(fit: FitData) -> tuple[list[Row], list[Row]]:
    """The interior minima, and the lowest runs of budgets without one."""
    inner, edges = (
        [minimum_row(one) for one in minima(fit) if one["edge"] is edge] for edge in (False, True)
    )
    return inner, edges


def stars(
    inner: Sequence[Row], edges: Sequence[Row], encoding: Mapping[str, Channel] = NOTHING
) -> list[Layer]:
    """Filled stars, which `encoding` may colour, and hollow grey ones at edges."""
    size = 230 if len(inner) + len(edges) <= MANY_STARS else 60
    both = {"type": "point", "shape": STAR, "size": size, "opacity": 1}
    filled = both | {"filled": True, "color": ACCENT, "stroke": GROUND, "strokeWidth": size / 230}
    hollow = both | {"filled": False, "color": EDGE, "strokeWidth": 1.3}
    drawn = []
    if edges:
        drawn.append(layer(edges, hollow, tips=MINIMUM_TIPS))
    if inner:
        drawn.append(layer(inner, filled, encoding, tips=MINIMUM_TIPS))
    return drawn
