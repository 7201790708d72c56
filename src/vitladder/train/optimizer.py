"""The optimizer: which parameters decay, and how the learning rate follows the model's size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from timm.optim import create_optimizer_v2, list_optimizers
from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor

from vitladder.config import Config, OptimConfig
from vitladder.errors import UserError, unknown
from vitladder.train.model import PlacedTransformer, build_model

# Optimizers that move each number by its own gradient and history, wherever its neighbours are.
_BY_ELEMENT = """
adam adamw adamwlegacy nadam nadamw radam radamw adabelief adopt adoptw lion
sgd sgdw momentum nesterov nesterovw signum
"""
BY_ELEMENT = frozenset(_BY_ELEMENT.split())


def learning_rate(optim: OptimConfig, width: int, depth: int) -> float:
    """Return lr * (width / base_width)**-width_power * depth**-depth_power.

    Under Adam, theory asks for 1 / width on hidden matrices (Yang et al. 2022, table 3); for one
    rate over all parameters of small ViTs, powers of 1/2 and 1/2 keep the narrowest and the widest
    rung near their best (the README has the sweep).
    """
    scale: float = (width / optim.base_width) ** -optim.width_power * depth**-optim.depth_power
    return optim.lr * scale


def build_optimizer(config: Config, model: PlacedTransformer) -> torch.optim.Optimizer:
    """Return timm's optimizer; weight decay spares norms, biases, tokens and positions.

    Raises UserError for a name that timm does not know or an optimizer that refuses the options.
    """
    optim = config.optim
    known = [str(name) for name in list_optimizers()]
    if optim.name not in known:
        raise unknown("optimizer", optim.name, known)
    options: dict[str, Any] = {"betas": tuple(optim.betas)}
    if optim.name in ("adam", "adamw") and not next(model.parameters()).is_meta:
        # One kernel for all parameters: a small model's update takes 0.4 of the time on a CPU core.
        options["fused"] = True
    try:
        optimizer: torch.optim.Optimizer = create_optimizer_v2(
            model,
            opt=optim.name,
            lr=learning_rate(optim, config.model.width, config.model.depth),
            weight_decay=optim.weight_decay,
            momentum=optim.betas[0],
            **options,
        )
    except (TypeError, ValueError, IndexError, RuntimeError) as error:
        raise UserError(
            f"optim.name={optim.name} with betas={optim.betas} cannot be built: {error}"
        ) from error
    optimizer.param_groups = [
        {**group, "params": together}
        for group in optimizer.param_groups
        for together in _by_mesh(group["params"])
    ]
    return optimizer


def _by_mesh(parameters: Sequence[nn.Parameter]) -> list[list[nn.Parameter]]:
    """Return the parameters in groups that one kernel can update: those of one device mesh."""
    found: dict[DeviceMesh | None, list[nn.Parameter]] = {}
    for parameter in parameters:
        mesh = parameter.device_mesh if isinstance(parameter, DTensor) else None
        found.setdefault(mesh, []).append(parameter)
    return list(found.values())


def check_optimizer(config: Config) -> None:
    """Raise UserError where build_optimizer would, without the memory of a model."""
    with torch.device("meta"):
        build_optimizer(config, build_model(config))
