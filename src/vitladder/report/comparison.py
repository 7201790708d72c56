"""What a study compares: the loss of every choice at the same size and budget."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vitladder.laws.comparable import groups
from vitladder.report.axes import loss_axis
from vitladder.report.chart import Drawing, Row, Tips, chart, dots, layer
from vitladder.report.marks import LOSS
from vitladder.report.notation import MISSING, finite, plain, power_of_ten, si
from vitladder.report.run_plots import by_choice
from vitladder.report.style import INK
from vitladder.runs.record import Record

HEAD = ("Choice", "N", "C", "Runs", "Val. loss", "Spread", "Above best", "Images/s")
_MOST_ROWS = 40
_LONGEST = 32  # characters of a name that leave room for the figure
_COLUMNS = ("run", "choice", "n_params", "budget_flops", "loss")
_TIPS: Tips = (
    ("run", "run"),
    ("choice", "choice"),
    ("n_params", "N"),
    ("C", "C"),
    ("loss", "loss"),
)


@dataclass(frozen=True)
class Choice:
    """The complete runs of one choice at one size and budget; they differ in the seed alone."""

    name: str
    n_params: float
    flops: float
    losses: tuple[float, ...]
    images_per_s: float | None
    run_keys: tuple[str, ...] = ()

    @property
    def mean(self) -> float:
        """The mean loss over seeds."""
        return statistics.fmean(self.losses)

    @property
    def spread(self) -> float | None:
        """The standard deviation over seeds; None of one run."""
        return statistics.stdev(self.losses) if len(self.losses) > 1 else None


def read_choices(records: Sequence[Record]) -> list[Choice]:
    """The choices that a study compares, each budget's best first; none where nothing differs."""
    complete = [
        record
        for record in records
        if record.status == "complete" and finite(record.results.val_loss) is not None
    ]
    named = groups(complete) if complete else {}
    if len(named) < 2:
        return []
    choices = [
        _choice(name, cell)
        for name, runs in named.items()
        for cell in _cells(runs, key=("n_params", "flops")).values()
    ]
    return sorted(choices, key=lambda choice: (choice.flops, choice.mean))


def comparison_answer(choices: Sequence[Choice]) -> str:
    """Say which choice has the lowest loss at the largest budget, and by how much."""
    largest = max(choice.flops for choice in choices)
    first, *others = [choice for choice in choices if choice.flops == largest]
    spread = "" if first.spread is None else f", standard deviation {plain(first.spread, 3)}"
    seeds = f"{len(first.losses)} run{'s' if len(first.losses) > 1 else ''}"
    text = (
        f"Of {1 + len(others)} choices at {power_of_ten(largest, 3)} FLOPs, {first.name} has the "
        f"lowest validation loss: {plain(first.mean, 4)} ({seeds}{spread})."
    )
    if not others:
        return text
    above = plain(others[0].mean - first.mean, 4)
    return f"{text} The next is {others[0].name}, {above} above."


def comparison_rows(choices: Sequence[Choice]) -> list[list[str]]:
    """A row for each choice; "above best" is against the best of the same budget."""
    best: dict[str, float] = {}
    for choice in choices:
        budget = power_of_ten(choice.flops, 3)
        best[budget] = min(choice.mean, best.get(budget, choice.mean))
    return [_row(choice, best[power_of_ten(choice.flops, 3)]) for choice in choices]


def comparison(choices: Sequence[Choice]) -> Drawing:
    """Every run's loss in a row for its choice, the best at the top, and the mean of each."""
    rows = [row for choice in choices for row in _run_rows(choice, choices)]
    labels = list(dict.fromkeys(row["label"] for row in rows))
    means: list[Row] = [
        {"label": _label(choice, choices), "choice": choice.name, "loss": choice.mean}
        for choice in choices
    ]
    # A name is text, and one that Vega would cut is cut before.
    y = {
        "field": "label",
        "type": "nominal",
        "title": None,
        "sort": labels,
        "axis": {"labelLimit": 260, "grid": True, "ticks": False, "domain": False},
    }
    tick = {"type": "tick", "thickness": 2, "size": 20, "color": INK}
    shade = {
        name: {**one, "legend": None} for name, one in by_choice(names_of_runs(choices)).items()
    }
    shade.pop("opacity", None)  # there is no legend to click: the rows are named
    layers = [
        layer(means, tick, tips=(("choice", "mean of"), ("loss", "loss"))),
        layer(rows, dots(len(rows)), shade, tips=_TIPS),
    ]
    x = loss_axis("loss", LOSS, [row["loss"] for row in rows])
    spec = chart(layers, x, y, height=max(90, 34 * len(labels)))
    return Drawing(spec, _COLUMNS, rows)


def names_of_runs(choices: Sequence[Choice]) -> dict[str, str]:
    """The choice of each run."""
    return {key: choice.name for choice in choices for key in choice.run_keys}


def _run_rows(choice: Choice, choices: Sequence[Choice]) -> list[Row]:
    return [
        {
            "run": key,
            "choice": choice.name,
            "label": _label(choice, choices),
            "n_params": choice.n_params,
            "budget_flops": choice.flops,
            "C": power_of_ten(choice.flops, 3),
            "loss": loss,
        }
        for key, loss in zip(choice.run_keys, choice.losses, strict=True)
    ]


def drawable(choices: Sequence[Choice]) -> bool:
    """Whether the choices are few enough for a picture."""
    return 2 <= len(choices) <= _MOST_ROWS


def _cells(
    records: Sequence[Record], *, key: tuple[str, ...]
) -> Mapping[tuple[Any, ...], list[Record]]:
    """Runs of the same plan, whatever their seed."""
    found: dict[tuple[Any, ...], list[Record]] = {}
    for record in records:
        found.setdefault(tuple(record.plan.get(name) for name in key), []).append(record)
    return found


def _choice(name: str, runs: Sequence[Record]) -> Choice:
    speeds = [speed for run in runs if (speed := finite(run.results.images_per_s)) is not None]
    found = [(run.run_key, finite(run.results.val_loss)) for run in runs]
    losses = [(key, loss) for key, loss in found if loss is not None]
    return Choice(
        name=name,
        n_params=finite(runs[0].plan.get("n_params")) or 0.0,
        flops=finite(runs[0].plan.get("flops_target")) or finite(runs[0].plan.get("flops")) or 0.0,
        losses=tuple(loss for _, loss in losses),
        images_per_s=statistics.median(speeds) if speeds else None,
        run_keys=tuple(key for key, _ in losses),
    )


def _row(choice: Choice, best: float) -> list[str]:
    spread = choice.spread
    return [
        choice.name,
        si(choice.n_params),
        power_of_ten(choice.flops, 3),
        str(len(choice.losses)),
        plain(choice.mean, 4),
        MISSING if spread is None else plain(spread, 4),
        plain(choice.mean - best, 4),
        si(choice.images_per_s),
    ]


def _label(choice: Choice, choices: Sequence[Choice]) -> str:
    """The choice's name, with its budget and size where the choices have several."""
    name = choice.name
    parts = [name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"]
    if len({other.flops for other in choices}) > 1:
        parts.append(f"C {power_of_ten(choice.flops, 3)}")
    if len({other.n_params for other in choices if other.name == choice.name}) > 1:
        parts.append(f"N {si(choice.n_params)}")
    return ", ".join(parts)
