"""Where the laws put their compute: N* and D* over C, and the least loss, with 95 % bands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby, pairwise
from typing import Any

import numpy as np

from vitladder.laws.forms import ParametricLaw
from vitladder.laws.isoflop import PowerLaw
from vitladder.laws.study import RunPoint
from vitladder.report.axes import Channel, log_axis
from vitladder.report.chart import (
    NOTHING,
    Drawing,
    Layer,
    Row,
    Tips,
    chart,
    colour,
    dimmed,
    layer,
    toggled,
)
from vitladder.report.marks import C, FitData, minimum_rows, stars
from vitladder.report.notation import plain, power_of_ten, significant, superscript
from vitladder.report.style import ACCENT, INK

POINTS = 60  # of a curve over C
NAMES = ("n_params", "images", "loss")
POWERS = {"n_params": ("N*", "k", "a"), "images": ("D*", "k_images", "b")}
"""What is optimal at each C, and which numbers of the IsoFLOP law are its factor and exponent."""

THROUGH, PARAMETRIC = "through the IsoFLOP minima", "parametric law"
COLUMNS = ("what", "flops", *NAMES, *(f"{end}_{name}" for name in NAMES for end in ("low", "high")))
TIPS: Tips = (("what", " "), ("C", "C"), ("n_params", "N*"), ("images", "D*"), ("loss", "loss"))


def parametric_law(fit: FitData) -> tuple[ParametricLaw, float] | None:
    """The fitted parametric law and k in C = k N D, or None where no law splits compute."""
    law = (fit.get("laws") or {}).get("parametric")
    if law is None or law["a"] is None:
        return None
    params = {name: law["params"][name] for name in ("E", "A", "B", "alpha", "beta")}
    return ParametricLaw(**params), float(fit["flops_per_param_image"])


def has_bands(fit: FitData) -> bool:
    """Whether the parametric law's optimum has intervals at each C."""
    law = (fit.get("laws") or {}).get("parametric") or {}
    return bool(law.get("frontier")) and all(one["ci95"] for one in law["frontier"])


def optimal_rows(runs: Sequence[RunPoint], fit: FitData) -> list[Row]:
    """N*, D* and the loss of the parametric law over C, to ten times the largest; none without."""
    found = parametric_law(fit)
    if found is None:
        return []
    law, k = found
    points = fit["laws"]["parametric"]["frontier"]
    largest = max(run.flops for run in runs)
    inside = np.geomspace(points[0]["flops"], largest, POINTS)
    beyond = np.geomspace(largest, points[-1]["flops"], POINTS // 4)
    grid = np.concatenate([inside, beyond[1:]])
    sizes, images = law.optimal(grid, k)
    columns = {"n_params": sizes, "images": images, "loss": law.loss(sizes, images)}
    columns |= _bounds(points, grid) if has_bands(fit) else {}
    rows = []
    for at, flops in enumerate(grid):
        values = {name: float(column[at]) for name, column in columns.items()}
        measured = _within(runs, float(flops), values["n_params"], values["images"])
        what = PARAMETRIC if measured else f"{PARAMETRIC}, extrapolated"
        text = {"what": what, "C": power_of_ten(float(flops), 3), "law": PARAMETRIC}
        rows.append({**text, "flops": float(flops), **values})
    return rows


def _within(runs: Sequence[RunPoint], flops: float, n_params: float, images: float) -> bool:
    """Whether runs reach as far as this: in C, in N and in D."""
    reach = (
        (flops, [0.0, *(run.flops for run in runs)]),
        (n_params, [run.n_params for run in runs]),
        (images, [run.images for run in runs]),
    )
    return all(min(known) <= value <= max(known) for value, known in reach)


def _bounds(points: Sequence[Mapping[str, Any]], grid: Any) -> dict[str, Any]:
    """The ends of the 95 % intervals, between those of the fit straight on log axes."""
    at = np.log([point["flops"] for point in points])
    found = {}
    for name in NAMES:
        for end, place in (("low", 0), ("high", 1)):
            known = np.log([point["ci95"][name][place] for point in points])
            found[f"{end}_{name}"] = np.exp(np.interp(np.log(grid), at, known))
    return found


def band(rows: Sequence[Row], name: str) -> list[Layer]:
    """The 95 % band of the parametric law's N*, D* or loss; nothing where it has none."""
    if not rows or f"low_{name}" not in rows[0]:
        return []
    mark = {"type": "area", "color": INK, "opacity": 0.12}
    return [layer(rows, mark, {"y": {"field": f"low_{name}"}, "y2": {"field": f"high_{name}"}})]


def optimal_lines(rows: Sequence[Row], encoding: Mapping[str, Channel] = NOTHING) -> list[Layer]:
    """The parametric law's own line, dashed where no run reaches, and a dot at its prescription."""
    if not rows:
        return []
    line = {"type": "line", "strokeWidth": 1.8, "color": INK}
    dashed = {**line, "strokeDash": [5, 4]}
    target = rows[-1] | {"what": "ten times the largest"}
    dot = {"type": "point", "filled": True, "shape": "diamond", "size": 90, "color": INK}
    return [
        *(
            layer(part, line if part[-1]["what"] == PARAMETRIC else dashed, encoding)
            for part in _parts(rows)
        ),
        layer([target], {**dot, "opacity": 1}, encoding, tips=TIPS),
    ]


def _parts(rows: Sequence[Row]) -> list[list[Row]]:
    """What is measured and what is extrapolated, each from where the one before it ends."""
    parts = [list(part) for _, part in groupby(rows, key=lambda row: row["what"])]
    for before, part in pairwise(parts):
        part.insert(0, before[-1])
    return parts


def optimum(runs: Sequence[RunPoint], fit: FitData, column: str, title: str) -> Drawing:
    """N* or D* over C: the minima, the power law through them, and the parametric law's."""
    curve, power = optimal_rows(runs, fit), _power_rows(runs, fit, column)
    inner, edges = minimum_rows(fit)
    laws = [name for name, rows in ((THROUGH, power), (PARAMETRIC, curve)) if rows]
    colours = {THROUGH: ACCENT, PARAMETRIC: INK}
    scale = {"domain": laws, "range": [colours[name] for name in laws]}
    shade = {"color": colour("law", "", scale), "opacity": dimmed()} if len(laws) > 1 else NOTHING
    drawn = layer(power, {"type": "line", "strokeWidth": 2, "color": ACCENT}, shade)
    layers = [
        *band(curve, column),
        *optimal_lines(curve, shade),
        *([toggled(drawn, "law") if len(laws) > 1 else drawn] if power else []),
        *stars(inner, edges),
    ]
    rows = [*inner, *edges, *power, *curve]
    ends = [row[name] for row in rows for name in _columns(column) if row.get(name)]
    flops = [row["flops"] for row in rows] or [run.flops for run in runs]
    x, y = log_axis("flops", C, flops, "power"), log_axis(column, title, ends)
    return Drawing(chart(layers, x, y, _formula(fit, column)), COLUMNS, rows)


def _columns(column: str) -> tuple[str, str, str]:
    return column, f"low_{column}", f"high_{column}"


def power_law(fit: FitData, column: str) -> PowerLaw | None:
    """The power law of N* (`n_params`) or D* (`images`) through the interior minima, or None."""
    law = fit["laws"].get("isoflop") or {}
    _, k, exponent = POWERS[column]
    return PowerLaw(law[k], law[exponent]) if law.get(k) is not None else None


def _power_rows(runs: Sequence[RunPoint], fit: FitData, column: str) -> list[Row]:
    law = power_law(fit, column)
    if law is None:
        return []
    # Many points: it is straight on two log axes alone, and the page may switch one.
    flops = np.geomspace(min(run.flops for run in runs), max(run.flops for run in runs), POINTS)
    values = zip(flops, law.at(flops), strict=True)
    return [
        {"what": THROUGH, "law": THROUGH, "flops": float(c), column: float(v)} for c, v in values
    ]


def _formula(fit: FitData, column: str) -> str:
    law = power_law(fit, column)
    if law is None:
        return ""
    letter, *_ = POWERS[column]
    return f"{letter} = {significant(law.k)} C{superscript(plain(law.exponent))}"
