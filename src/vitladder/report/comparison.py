"""What a study compares: the loss of every choice at the same size and budget."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure

from vitladder.laws.comparable import groups
from vitladder.report.notation import MISSING, finite, plain, power_of_ten, si
from vitladder.report.style import EDGE, INK, figure, loss_axis
from vitladder.runs.record import Record

HEAD = ("Choice", "N", "C", "Runs", "Val. loss", "Spread", "Above best", "Images/s")
_MOST_ROWS = 40
_LONGEST = 48  # characters of a name that leave room for the figure


@dataclass(frozen=True)
class Choice:
    """The complete runs of one choice at one size and budget; they differ in the seed alone."""

    name: str
    n_params: float
    flops: float
    losses: tuple[float, ...]
    images_per_s: float | None

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


def comparison(choices: Sequence[Choice]) -> Figure:
    """Every run's loss in a row for its choice, the best at the top, and the mean of each."""
    fig = figure((6.4, 1.1 + 0.32 * len(choices)))
    axes = fig.subplots()
    for place, choice in enumerate(choices):
        axes.plot(choice.losses, [place] * len(choice.losses), "o", ms=5, mew=0, color=EDGE)
        axes.plot([choice.mean], [place], "|", ms=14, mew=2, color=INK)
    labels = [_label(choice, choices) for choice in choices]
    # A name may hold dollar signs, and is no formula.
    axes.set_yticks(range(len(choices)), labels, parse_math=False)
    axes.invert_yaxis()
    losses = [loss for choice in choices for loss in choice.losses]
    loss_axis(axes, "x", losses, "validation loss")
    return fig


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
    losses = [loss for run in runs if (loss := finite(run.results.val_loss)) is not None]
    return Choice(
        name=name,
        n_params=finite(runs[0].plan.get("n_params")) or 0.0,
        flops=finite(runs[0].plan.get("flops_target")) or finite(runs[0].plan.get("flops")) or 0.0,
        losses=tuple(losses),
        images_per_s=statistics.median(speeds) if speeds else None,
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
        parts.append(f"C {choice.flops:.3g}")
    if len({other.n_params for other in choices if other.name == choice.name}) > 1:
        parts.append(f"N {si(choice.n_params)}")
    return ", ".join(parts)
