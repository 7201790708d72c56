"""The learning rate over a run, as a factor of its highest value."""

from __future__ import annotations

import math

from vitladder.config import ScheduleConfig


def factor(schedule: ScheduleConfig, step: int, steps: int) -> float:
    """Return the learning-rate factor of a step (0 .. steps - 1), in [0, 1].

    Linear warm-up over schedule.warmup of the steps, then cosine (Loshchilov and Hutter 2017), or
    stable or reciprocal square root (Zhai et al. 2022, section 3.5) with a linear cooldown over
    the last schedule.cooldown of the steps; the end is schedule.final.
    """
    warmup = round(schedule.warmup * steps)
    if step < warmup:
        return (step + 1) / warmup
    shape = {"cosine": _cosine, "wsd": _wsd, "rsqrt": _rsqrt}[schedule.name]
    return shape(schedule, step, steps, warmup)


def _cosine(schedule: ScheduleConfig, step: int, steps: int, warmup: int) -> float:
    progress = (step - warmup) / max(1, steps - warmup)
    return schedule.final + (1 - schedule.final) * 0.5 * (1 + math.cos(math.pi * progress))


def _wsd(schedule: ScheduleConfig, step: int, steps: int, warmup: int) -> float:
    del warmup
    return _cooled(schedule, step, steps, 1.0)


def _rsqrt(schedule: ScheduleConfig, step: int, steps: int, warmup: int) -> float:
    scale = max(1, warmup)
    return _cooled(schedule, step, steps, math.sqrt(scale / (scale + step - warmup)))


def _cooled(schedule: ScheduleConfig, step: int, steps: int, height: float) -> float:
    cooldown = max(1, round(schedule.cooldown * steps))
    remaining = min(1.0, (steps - step) / cooldown)
    if schedule.cooldown == 0:
        return height
    return schedule.final + (height - schedule.final) * remaining
