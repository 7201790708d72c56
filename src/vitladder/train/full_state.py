"""The state of a shared run as one process would have it: the same checkpoint from any layout.

Parameters have their full shapes and timm's order of rows; the optimizer's state is numbered as
that of an optimizer of one process.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.optim import Optimizer

from vitladder.compute.shape import shape_of
from vitladder.config import Config
from vitladder.train.model import PlacedTransformer, build_model
from vitladder.train.optimizer import build_optimizer
from vitladder.train.tensor_parallel import by_device
from vitladder.train.world import World


@dataclass(frozen=True)
class FullState:
    """Gathers the state of a model and its optimizer from all processes, and shares it out."""

    config: Config
    world: World

    def of_model(self, model: PlacedTransformer) -> dict[str, Tensor]:
        """Return all parameters by timm's names; nothing on processes other than the first."""
        mine = {name: self._full(name, value) for name, value in model.named_parameters()}
        return self._gathered(mine)

    def of_optimizer(self, model: PlacedTransformer, optimizer: Optimizer) -> dict[str, Any]:
        """Return the optimizer's state as one process has it; nothing on the others."""
        mine = {
            name: {key: self._full(name, value) for key, value in optimizer.state[p].items()}
            for name, p in model.named_parameters()
            if p in optimizer.state
        }
        state = self._gathered(mine)
        if not self.world.leads:
            return {}
        groups = names_by_group(self.config)
        number = {name: i for i, name in enumerate(name for group in groups for name in group)}
        settings = _settings_by_group(model, optimizer, groups)
        return {
            "state": {number[name]: values for name, values in state.items()},
            "param_groups": [
                {**setting, "params": [number[name] for name in group]}
                for setting, group in zip(settings, groups, strict=True)
            ],
        }

    def into_model(self, model: PlacedTransformer, full: Mapping[str, Tensor]) -> None:
        """Give every process its part of the parameters."""
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter.copy_(self._part(name, full[name], parameter))

    def into_optimizer(
        self, model: PlacedTransformer, optimizer: Optimizer, full: Mapping[str, Any]
    ) -> None:
        """Give every process its part of the optimizer's state, and the settings of the groups."""
        names = [name for group in names_by_group(self.config) for name in group]
        numbers = [number for group in full["param_groups"] for number in group["params"]]
        number = dict(zip(names, numbers, strict=True))
        group_of = {n: group for group in full["param_groups"] for n in group["params"]}
        by_parameter = {parameter: name for name, parameter in model.named_parameters()}
        for group in optimizer.param_groups:
            saved = group_of[number[by_parameter[group["params"][0]]]]
            group.update({key: value for key, value in saved.items() if key != "params"})
            for parameter in group["params"]:
                name = by_parameter[parameter]
                values = full["state"].get(number[name], {})
                optimizer.state[parameter] = {
                    key: self._part(name, value, parameter) for key, value in values.items()
                }
                if group.get("fused") and "step" in values:
                    # One kernel updates all, and reads their counts where the parameters are.
                    optimizer.state[parameter]["step"] = values["step"].to(parameter.device)

    def _full(self, name: str, value: Any) -> Any:
        """Return a parameter, or what an optimizer keeps for it, whole and on the CPU."""
        if not isinstance(value, Tensor):
            return value
        whole = value.full_tensor() if isinstance(value, DTensor) else value
        whole = whole.detach().cpu()
        order = self._order(name)
        if order is None or not whole.ndim:
            return whole if self.world.leads or self.world.layout.stages > 1 else None
        return torch.empty_like(whole).index_copy_(0, order, whole)

    def _part(self, name: str, value: Any, like: Tensor) -> Any:
        """Return this process's part of a whole tensor, in the place of a parameter."""
        if not isinstance(value, Tensor) or value.shape != like.shape:
            return value
        order = self._order(name)
        whole = value.to(like.device) if order is None else value[order].to(like.device)
        if not isinstance(like, DTensor):
            return whole.clone()
        return distribute_tensor(whole, like.device_mesh, like.placements, src_data_rank=None)

    def _order(self, name: str) -> Tensor | None:
        """Return which whole row each row of a parameter is, where rows lie by device."""
        devices = self.world.layout.tensor
        if devices == 1 or ".attn.qkv." not in name:
            return None
        return by_device(shape_of(self.config.model), devices)

    def _gathered(self, mine: dict[str, Any]) -> dict[str, Any]:
        """Return what all stages of a pipeline have; nothing on processes other than the first."""
        if self.world.layout.stages == 1:
            return mine if self.world.leads else {}
        found: list[dict[str, Any]] | None = [{}] * self.world.layout.devices
        dist.gather_object(mine, found if self.world.leads else None)
        merged: dict[str, Any] = {}
        for stage in reversed(found or []):
            merged |= stage
        return merged if self.world.leads else {}


def names_by_group(config: Config) -> list[list[str]]:
    """Return the parameters' names in the groups and the order of one process's optimizer."""
    with torch.device("meta"):
        model = build_model(config)
        optimizer = build_optimizer(config, model)
    names = {parameter: name for name, parameter in model.named_parameters()}
    return [[names[p] for p in group["params"]] for group in optimizer.param_groups]


def _settings_by_group(
    model: PlacedTransformer, optimizer: Optimizer, groups: list[list[str]]
) -> list[dict[str, Any]]:
    """Return the settings of each of these groups, from a group with one of its parameters."""
    names = {parameter: name for name, parameter in model.named_parameters()}
    own = {names[p]: group for group in optimizer.param_groups for p in group["params"]}
    settings = []
    for group in groups:
        mine = next(own[name] for name in group if name in own)
        settings.append({key: value for key, value in mine.items() if key != "params"})
    return settings
