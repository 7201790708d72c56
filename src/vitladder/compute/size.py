"""Chooses the width and depth of a rung around the expected optimum of its budget."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from vitladder.compute.parameters import parameters
from vitladder.compute.shape import Shape, shape_of
from vitladder.config import LadderConfig, ModelConfig
from vitladder.errors import UserError

_WIDEST = 16384


def target_params(ladder: LadderConfig, flops: float) -> float:
    """Return the N aimed at: relative x the power law of expected optima at this budget.

    Raises UserError where that is not the size of any model.
    """
    if ladder.relative is None:
        raise UserError("ladder.relative is not given, so there is no size to aim at")
    aim = (
        f"ladder.relative={ladder.relative:g} x ladder.n_params={ladder.n_params:g} x "
        f"({flops:g} / ladder.flops={ladder.flops:g})**ladder.exponent={ladder.exponent:g}"
    )
    try:
        target: float = (
            ladder.relative * ladder.n_params * (flops / ladder.flops) ** ladder.exponent
        )
    except ArithmeticError:
        target = math.inf
    if not 1 <= target < math.inf:
        raise UserError(f"{aim} aims at {target:g} parameters; no model has so few or so many")
    return target


def sized(
    model: ModelConfig,
    ladder: LadderConfig,
    flops: float,
    position_params: Callable[[Shape], int],
) -> ModelConfig:
    """Return the model with the width and depth whose N is nearest to the target, in ratio.

    Widths are multiples of ladder.width_step; depth follows width: one layer for every
    `aspect` of width, at least `min_depth`. Heads follow the width unless given. Raises UserError
    where no width fits the heads, or the widest has fewer parameters than the target.
    """
    target = target_params(ladder, flops)
    best: tuple[float, ModelConfig] | None = None
    for width in range(ladder.width_step, _WIDEST + 1, ladder.width_step):
        if model.heads is not None and width % model.heads:
            continue
        depth = max(ladder.min_depth, round(width / ladder.aspect))
        candidate = replace(model, width=width, depth=depth)
        shape = shape_of(candidate)
        total = parameters(shape, position_params(shape)).total
        distance = abs(math.log(total / target))
        if best is None or distance < best[0]:
            best = (distance, candidate)
        if total > target:
            return best[1]
    if best is not None:
        raise UserError(
            f"the ladder aims at {target:.3g} parameters, more than any of width {_WIDEST} has; "
            f"lower ladder.relative, ladder.n_params or ladder.exponent"
        )
    raise UserError(
        f"no width up to {_WIDEST} is a multiple of model.heads={model.heads} and of "
        f"ladder.width_step={ladder.width_step}"
    )
