"""An exponential moving average of the weights, which the held-out split is measured with.

It lies in the optimizer's state beside the moments, so that it is shared, saved and resumed as
they are in every layout.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer

KEY = "average"


def average_weights(optimizer: Optimizer, decay: float, step: int) -> None:
    """Move every parameter's average towards it, after the step of this number, from 1 on.

    average = d * average + (1 - d) * parameter with d = min(decay, (1 + step) / (10 + step)), so
    that the start is soon forgotten (as TensorFlow's ExponentialMovingAverage has it).
    """
    averages, parameters = [], []
    for parameter, state in _states(optimizer):
        if KEY in state:
            averages.append(_here(state[KEY]))
            parameters.append(_here(parameter.detach()))
        else:
            state[KEY] = parameter.detach().clone()
    if averages:
        kept = min(decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(averages, parameters, 1 - kept)


@contextmanager
def averaged(optimizer: Optimizer) -> Iterator[None]:
    """Put the averages in the place of the parameters within this block."""
    pairs = [(p.detach(), state[KEY]) for p, state in _states(optimizer) if KEY in state]
    here = [(_here(parameter), _here(average)) for parameter, average in pairs]
    own = [parameter.clone() for parameter, _ in here]
    for parameter, average in here:
        parameter.copy_(average)
    try:
        yield
    finally:
        for (parameter, _), value in zip(here, own, strict=True):
            parameter.copy_(value)


def _here(tensor: Tensor) -> Tensor:
    """Return the part of a shared tensor that this device has."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def _states(optimizer: Optimizer) -> Iterator[tuple[Tensor, dict[str, Tensor]]]:
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            yield parameter, optimizer.state[parameter]
