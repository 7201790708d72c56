"""The choices that a study compares: their runs by budget and size, and how far seeds spread."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from vitladder.laws.comparable import SIZE, flat, groups, names
from vitladder.laws.study import budget_of, shared_budgets
from vitladder.report.notation import finite
from vitladder.runs.record import Record


@dataclass(frozen=True)
class Choice:
    """The complete runs of one choice at one size and budget; they differ in the seed alone.

    `flops` is the lowest of the budgets that count as the same, so equal where they do.
    """

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
    complete = _complete(records)
    named = groups(complete) if complete else {}
    if len(named) < 2:
        return []
    shared = shared_budgets(map(_budget, complete))
    choices = []
    for name, runs in named.items():
        cells: dict[tuple[float | str, ...], list[Record]] = {}
        for run in runs:
            cells.setdefault((shared[_budget(run)], *_size(run)), []).append(run)
        choices += [_choice(name, shared[_budget(cell[0])], cell) for cell in cells.values()]
    return sorted(choices, key=lambda choice: (choice.flops, choice.mean))


def at_budgets(choices: Sequence[Choice]) -> list[list[Choice]]:
    """Of each budget, the lowest first, every choice at its best size, the best first."""
    ordered = sorted(choices, key=lambda choice: (choice.flops, choice.mean))
    return [_best_sizes(cells) for _, cells in groupby(ordered, key=lambda choice: choice.flops)]


def _best_sizes(cells: Iterable[Choice]) -> list[Choice]:
    """The first of each name."""
    best: dict[str, Choice] = {}
    for choice in cells:
        best.setdefault(choice.name, choice)
    return list(best.values())


def pooled_spread(choices: Sequence[Choice]) -> float | None:
    """The standard deviation over seeds about each one's own mean; None where each has one."""
    spreads = [(len(one.losses) - 1, one.spread) for one in choices if one.spread is not None]
    if not spreads:
        return None
    total = math.hypot(*(math.sqrt(free) * spread for free, spread in spreads))
    return total / math.sqrt(sum(free for free, _ in spreads))


def names_of_runs(choices: Sequence[Choice]) -> dict[str, str]:
    """The choice of each run."""
    return {key: choice.name for choice in choices for key in choice.run_keys}


def choice_of_each(records: Sequence[Record], choices: Sequence[Choice]) -> dict[str, str]:
    """What each run is of what the study compares, also if it did not complete; or nothing."""
    if not choices:
        return {}
    named = names(records, among=_complete(records))
    return {record.run_key: name for record, name in zip(records, named, strict=True)}


def _complete(records: Sequence[Record]) -> list[Record]:
    return [
        record
        for record in records
        if record.status == "complete" and finite(record.results.val_loss) is not None
    ]


def _budget(record: Record) -> float:
    return budget_of(record) or 0.0


def _size(record: Record) -> tuple[float | str, ...]:
    """N and the shape: the same N with other heads is no other seed."""
    settings = dict(flat(record.config))
    return finite(record.plan.get("n_params")) or 0.0, *(str(settings.get(key)) for key in SIZE)


def _choice(name: str, flops: float, runs: Sequence[Record]) -> Choice:
    speeds = [speed for run in runs if (speed := finite(run.results.images_per_s)) is not None]
    found = [(run.run_key, finite(run.results.val_loss)) for run in runs]
    losses = [(key, loss) for key, loss in found if loss is not None]
    return Choice(
        name=name,
        n_params=finite(runs[0].plan.get("n_params")) or 0.0,
        flops=flops,
        losses=tuple(loss for _, loss in losses),
        images_per_s=statistics.median(speeds) if speeds else None,
        run_keys=tuple(key for key, _ in losses),
    )
