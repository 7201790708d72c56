"""The figures of the runs' speed: images per second, MFU, and FLOP/s under the device's peak."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vitladder.laws.study import positive
from vitladder.report.axes import Channel, log_axis, share_axis
from vitladder.report.chart import (
    Drawing,
    Layer,
    Row,
    Tips,
    chart,
    colour,
    dimmed,
    dots,
    layer,
    steps_between,
    toggled,
)
from vitladder.report.marks import N
from vitladder.report.notation import with_unit
from vitladder.report.style import ACCENT, CHOICES, SHAPES
from vitladder.runs.record import Record

TIPS: Tips = (
    ("run", "run"),
    ("choice", "choice"),
    ("n_params", "N"),
    ("images_per_s", "images/s"),
    ("mfu_percent", "MFU, %"),
    ("flops_per_s", "FLOP/s"),
    ("intensity", "FLOP/byte"),
)
MOST_ROOFS = 3
COLUMNS = ("run", "choice", "n_params", "images_per_s", "mfu_percent", "flops_per_s", "intensity")


@dataclass(frozen=True)
class Speed:
    """How fast one run trained; None is "not known".

    The arithmetic intensity is of model FLOPs over the compulsory traffic of a step, in FLOP/byte;
    the bandwidth is the machine's, in bytes/s.
    """

    run_key: str
    n_params: float
    images_per_s: float
    mfu: float | None
    flops_per_s: float | None
    intensity: float | None = None
    bandwidth: float | None = None

    @property
    def peak(self) -> float | None:
        """The dense peak in FLOP/s that the MFU is measured against."""
        return self.flops_per_s / self.mfu if self.flops_per_s and self.mfu else None


def read_speeds(records: Sequence[Record]) -> list[Speed]:
    """The speeds of the runs that measured one."""
    speeds = []
    for record in records:
        n_params = positive(record.plan.get("n_params"))
        rate = positive(record.results.images_per_s)
        if n_params is not None and rate is not None:
            cost = positive(record.plan.get("flops_per_image"))
            done = positive(rate * cost) if cost else None
            mfu = positive(record.results.mfu)
            bandwidth = positive(record.forecast.get("bandwidth"))
            intensity = _intensity(record, cost)
            speeds.append(Speed(record.run_key, n_params, rate, mfu, done, intensity, bandwidth))
    return speeds


def _intensity(record: Record, flops_per_image: float | None) -> float | None:
    """Model FLOPs of a step over the bytes that it must move at least."""
    batch = positive(record.config.get("data", {}).get("batch_size"))
    moved = positive(record.forecast.get("moved_bytes"))
    if batch is None or moved is None or flops_per_image is None:
        return None
    return positive(batch * flops_per_image / moved)


def throughput(speeds: Sequence[Speed], choices: Mapping[str, str]) -> Drawing:
    """Images per second over N; `choices` are the runs' own, where the study compares some."""
    rows = _rows(speeds, choices)
    y = log_axis("images_per_s", "images/s", [speed.images_per_s for speed in speeds])
    return _over_size(rows, choices, y)


def utilisation(speeds: Sequence[Speed], choices: Mapping[str, str]) -> Drawing:
    """MFU over N, of the runs that know it."""
    rows = [row for row in _rows(speeds, choices) if row["mfu_percent"]]
    y = share_axis("mfu_percent", "MFU, %", [row["mfu_percent"] for row in rows])
    return _over_size(rows, choices, y)


def under_the_roof(speeds: Sequence[Speed], choices: Mapping[str, str]) -> Drawing:
    """Model FLOP/s over N under the compute roof: each device's dense peak."""
    rows = [row for row in _rows(speeds, choices) if row["flops_per_s"]]
    sizes = [row["n_params"] for row in rows]
    peaks = sorted({_rounded(speed.peak) for speed in speeds if speed.peak})[-MOST_ROOFS:]
    roofs: list[Row] = [
        {"what": f"dense peak, {with_unit(peak, 'FLOP/s')}", "flops_per_s": peak, "n_params": size}
        for peak in peaks
        for size in (min(sizes), max(sizes) * 1.0001)
    ]
    under = _roof_layers(roofs, roofs[::2], "left")
    y = log_axis("flops_per_s", "model FLOP/s", [row["flops_per_s"] for row in (*rows, *roofs)])
    return _over_size(rows, choices, y, under)


def roofline(speeds: Sequence[Speed], choices: Mapping[str, str]) -> Drawing:
    """Model FLOP/s over arithmetic intensity under each machine's roof (Williams et al. 2009)."""
    known = [one for one in speeds if one.intensity and one.bandwidth and one.peak]
    rows = _rows(known, choices)
    roofs = _roofs(known)
    under = _roof_layers(roofs, _ends(roofs), "right")
    both = (*rows, *roofs)
    x = log_axis("intensity", "arithmetic intensity, FLOP/byte", [row["intensity"] for row in both])
    y = log_axis("flops_per_s", "model FLOP/s", [row["flops_per_s"] for row in both])
    return _dots(rows, choices, x, y, under)


def _roof_layers(roofs: Sequence[Row], named: Sequence[Row], align: str) -> list[Layer]:
    """Each roof as a dashed line, with its name at one of its points."""
    each = {"detail": {"field": "what", "type": "nominal"}}
    line = {"type": "line", "strokeWidth": 1.8, "strokeDash": [6, 4], "color": ACCENT}
    said = {"type": "text", "align": align, "baseline": "bottom", "dy": -6, "color": ACCENT}
    return [
        layer(roofs, line, each, tips=(("what", " "),)),
        layer(named, said, {"text": {"field": "what", "type": "nominal"}}),
    ]


def _ends(roofs: Sequence[Row]) -> list[Row]:
    """The last point of each roof."""
    return list({row["what"]: row for row in roofs}.values())


def _roofs(speeds: Sequence[Speed]) -> list[Row]:
    """The corners of each roof, from the least intensity of a run to beyond the ridge."""
    intensities = [one.intensity for one in speeds if one.intensity]
    rows: list[Row] = []
    for peak, bandwidth in _machines(speeds)[-MOST_ROOFS:]:
        ridge = peak / bandwidth
        said = f"{with_unit(bandwidth, 'B/s')}, then {with_unit(peak, 'FLOP/s')}"
        slope = steps_between(min(*intensities, ridge / 2), ridge)
        flat = steps_between(ridge, max(*intensities, 2 * ridge))
        rows += [
            {"what": said, "intensity": at, "flops_per_s": min(peak, bandwidth * at)}
            for at in (*slope, *flat)
        ]
    return rows


def _machines(speeds: Sequence[Speed]) -> list[tuple[float, float]]:
    """The different peaks and bandwidths of the runs, the fastest last."""
    return sorted({(_rounded(one.peak), one.bandwidth or 0.0) for one in speeds if one.peak})


def _rounded(peak: float) -> float:
    """A peak that comes back from FLOP/s and MFU, which round."""
    return float(f"{peak:.4g}")


def by_choice(choices: Mapping[str, str]) -> dict[str, Channel]:
    """Colour and shape of what a study compares; nothing where that is too much, or one thing.

    `choices` are those of all runs, so that each has its colour in every figure.
    """
    names = sorted(set(choices.values()))
    if not 2 <= len(names) <= len(CHOICES):
        return {}
    count = len(names)
    shapes = {"domain": list(names), "range": list(SHAPES[:count])}
    return {
        "color": colour("choice", "", {"domain": list(names), "range": list(CHOICES[:count])}),
        "shape": {"field": "choice", "type": "nominal", "scale": shapes},
    }


def _rows(speeds: Sequence[Speed], choices: Mapping[str, str]) -> list[Row]:
    return [
        {
            "run": speed.run_key,
            "choice": choices.get(speed.run_key),
            "n_params": speed.n_params,
            "images_per_s": speed.images_per_s,
            "mfu_percent": None if speed.mfu is None else 100 * speed.mfu,
            "flops_per_s": speed.flops_per_s,
            "intensity": speed.intensity,
        }
        for speed in speeds
    ]


def _over_size(
    rows: Sequence[Row], choices: Mapping[str, str], y: Channel, under: Sequence[Layer] = ()
) -> Drawing:
    """A dot for each run over its size."""
    x = log_axis("n_params", N, [row["n_params"] for row in rows])
    return _dots(rows, choices, x, y, under)


def _dots(
    rows: Sequence[Row],
    choices: Mapping[str, str],
    x: Channel,
    y: Channel,
    under: Sequence[Layer] = (),
) -> Drawing:
    """A dot for each run, in the colour of its choice where there are several."""
    known = [tip for tip in TIPS if any(row[tip[0]] is not None for row in rows)]
    shade = by_choice(choices)
    if shade:
        drawn = layer(rows, dots(len(rows)), shade | {"opacity": dimmed(0.85)}, tips=known)
        layers = [*under, toggled(drawn, "choice")]
    else:
        layers = [*under, layer(rows, dots(len(rows)), tips=known)]
    return Drawing(chart(layers, x, y), COLUMNS, list(rows))
