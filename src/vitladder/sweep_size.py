"""Counts the runs of a sweep before they are listed, and refuses what is no list of runs."""

from __future__ import annotations

import math
from collections.abc import Sequence

from hydra.core.override_parser.types import ChoiceSweep, Glob, IntervalSweep, Override, RangeSweep

from vitladder.errors import UserError
from vitladder.hydra_settings import is_hydras

MOST_RUNS = 100_000


def check_sweeps(overrides: Sequence[Override]) -> None:
    """Raise UserError for sweeps that make no list of runs, or one that no memory would hold."""
    runs = 1
    for override in overrides:
        _check_of_a_run(override)
        runs *= _count(override)
        if runs > MOST_RUNS:
            raise UserError(
                f"'{override.input_line}' makes {runs:,} runs; a command has at most {MOST_RUNS:,}"
            )


def _check_of_a_run(override: Override) -> None:
    key = override.key_or_group
    if override.is_sweep_override() and is_hydras(key):
        part = key.replace("/", ".").split(".")[1]
        raise UserError(
            f"'{override.input_line}': all runs of a command have one {part}; give one value"
        )


def _count(override: Override) -> int:
    key, written, value = override.key_or_group, override.input_line, override.value()
    if isinstance(value, Glob):
        raise UserError(f"'{written}': names are not searched for; write them out, as {key}=A,B")
    if isinstance(value, IntervalSweep):
        raise UserError(
            f"'{written}': an interval is for a sweeper that searches, such as "
            f"hydra/sweeper=optuna; write values out, as {key}=1,2,3"
        )
    if isinstance(value, RangeSweep):
        return _length(value, str(written))
    return len(value.list) if isinstance(value, ChoiceSweep) else 1


def _length(sweep: RangeSweep, written: str) -> int:
    start, stop, step = sweep.start, sweep.stop, sweep.step
    if (
        start is None
        or stop is None
        or not all(map(math.isfinite, (start, stop, step)))
        or not step
    ):
        raise UserError(f"'{written}': a range is range(START,STOP,STEP), of numbers, STEP not 0")
    return max(0, math.ceil((stop - start) / step))
