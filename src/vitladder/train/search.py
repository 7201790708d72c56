"""Climbs from one way of training to the fastest, a stage at a time, and keeps what it tried."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from vitladder.train.candidates import Choice, Here, Step
from vitladder.train.race import Race

Stage = Callable[[Choice, Here], list[Step]]

ROUNDS = 3
# A change must be faster by more than two windows of the same choice differ on a quiet machine.
GAIN = 1.02


@dataclass(frozen=True)
class Rung:
    """A step that was tried, on top of the choice that was the fastest before its stage."""

    step: Step
    before: Choice | None


@dataclass(frozen=True)
class Climb:
    """Every step in the order in which it was tried, and the choice that was the fastest."""

    rungs: list[Rung]
    best: Choice | None


def climb(
    race: Race,
    start: Step,
    here: Here,
    stages: Sequence[Stage],
    *,
    seconds: float,
    refuse: Callable[[Choice, Choice], str | None] = lambda choice, best: None,
    beaten: Callable[[Choice], None] = lambda choice: None,
) -> Climb:
    """Try the stages one after the other; the race has the measures.

    Within a stage all choices are measured in turn with the fastest before it, in windows of
    `seconds`; the fastest is carried on. `refuse` says why not to try a choice, given the fastest;
    `beaten` is told of every choice that is tried no more.
    """
    rungs = [Rung(start, None)]
    if start.choice is None:
        return Climb(rungs, None)
    best = start.choice
    race.enter([best])
    race.run([best], rounds=1, seconds=seconds)
    for stage in stages:
        steps = stage(best, here)
        tried = race.measured.keys() | race.failed.keys()
        new = [_refused(step, best, refuse) for step in steps if step.choice not in tried]
        choices = [step.choice for step in new if step.choice]
        rungs += [Rung(step, best) for step in new]
        if choices:
            race.enter(choices)
            race.run([best, *choices], rounds=ROUNDS, seconds=seconds)
            before, best = best, _fastest(race, best, choices)
            for choice in (before, *choices):
                if choice != best:
                    beaten(choice)
    return Climb(rungs, best)


def _refused(step: Step, best: Choice, refuse: Callable[[Choice, Choice], str | None]) -> Step:
    reason = refuse(step.choice, best) if step.choice else None
    return step if reason is None else Step(step.name, None, reason)


def _fastest(race: Race, best: Choice, choices: Sequence[Choice]) -> Choice:
    """Return the choice with the fastest of its last windows; the one before, unless beaten."""
    for choice in choices:
        if choice in race.failed:
            continue
        if _recent(race, choice) > GAIN * _recent(race, best):
            best = choice
    return best


def _recent(race: Race, choice: Choice) -> float:
    known = race.measured.get(choice)
    return max(known.images_per_s[-ROUNDS:], default=0.0) if known else 0.0
