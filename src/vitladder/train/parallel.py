"""How a run's devices share its work, as Lightning's strategies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from pytorch_lightning.core.optimizer import LightningOptimizer
from pytorch_lightning.strategies import ModelParallelStrategy, Strategy
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh
from torch.optim import Optimizer

from vitladder.compute.shape import shape_of
from vitladder.config import Config
from vitladder.errors import UserError
from vitladder.layout import layout_of
from vitladder.train.compression import CompressingDDP
from vitladder.train.device import cores_here
from vitladder.train.full_state import FullState
from vitladder.train.fully_sharded import gather_no_more, shard_fully
from vitladder.train.model import PlacedTransformer
from vitladder.train.optimizer import BY_ELEMENT
from vitladder.train.serving import check_heads_apart
from vitladder.train.tensor_parallel import share_layers
from vitladder.train.world import World


class SharedModelStrategy(ModelParallelStrategy):
    """FSDP2, tensor parallelism, both, or a pipeline; its checkpoints are those of one process."""

    def __init__(self, config: Config, world: World) -> None:
        """Make a mesh of (data groups or stages) x (devices that share each layer)."""
        layout = world.layout
        super().__init__(
            data_parallel_size=layout.data * layout.stages,
            tensor_parallel_size=layout.tensor,
            save_distributed_checkpoint=False,
        )
        self._full = FullState(config, world)

    @property
    def _placed(self) -> PlacedTransformer:
        model = getattr(self.lightning_module, "model")  # noqa: B009  # Classifier's, untyped here
        assert isinstance(model, PlacedTransformer)  # noqa: S101  # for the type checker
        gather_no_more(model)
        return model

    def lightning_module_state_dict(self) -> dict[str, Any]:
        """Return the whole model on the first process, nothing on the others."""
        whole = self._full.of_model(self._placed)
        return {f"model.{name}": value for name, value in whole.items()}

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        """Return the whole state of the optimizer on the first process, nothing on the others."""
        return self._full.of_optimizer(self._placed, _plain(optimizer))

    def save_checkpoint(
        self, checkpoint: dict[str, Any], filepath: Any, storage_options: Any | None = None
    ) -> None:
        """Write one file, in which schedulers have as many groups as the optimizer there has."""
        for optimizer in checkpoint["optimizer_states"]:
            _fit_schedulers(checkpoint, groups=len(optimizer.get("param_groups", ())))
        super().save_checkpoint(checkpoint, filepath, storage_options)

    def load_checkpoint(self, checkpoint_path: Any, weights_only: bool | None = None) -> Any:
        """Read the file on every process, and take this one's part of model and optimizer."""
        del weights_only
        saved = torch.load(checkpoint_path, map_location="cpu", weights_only=True, mmap=True)
        whole: Mapping[str, Tensor] = {
            name.removeprefix("model."): value for name, value in saved["state_dict"].items()
        }
        self._full.into_model(self._placed, whole)
        for optimizer, state in zip(self.optimizers, saved["optimizer_states"], strict=False):
            self._full.into_optimizer(self._placed, _plain(optimizer), state)
            _fit_schedulers(saved, groups=len(optimizer.param_groups))
        return saved


def strategy_of(config: Config, world: World) -> Strategy | str:
    """Return Lightning's strategy for a run; "auto" is one device."""
    if config.parallel.name == "single":
        return "auto"
    if config.parallel.name == "ddp":
        return CompressingDDP(config.parallel)
    return SharedModelStrategy(config, world)


def share_model(model: PlacedTransformer, config: Config, mesh: DeviceMesh) -> None:
    """Split a whole model over Lightning's mesh in place, as fsdp, tp or both ask."""
    layout = layout_of(config.parallel)
    if layout.tensor > 1:
        share_layers(model, shape_of(config.model), mesh["tensor_parallel"])
    if layout.sharded:
        shard_fully(model, mesh["data_parallel"])


def check_parallel_here(config: Config, device: torch.device) -> None:
    """Raise UserError where this machine, the plugins or the optimizer cannot be shared so."""
    parallel, layout = config.parallel, layout_of(config.parallel)
    if layout.devices == 1:
        return
    if device.type == "mps":
        raise UserError(
            f"parallel={parallel.name} runs on CUDA or CPU; Apple GPUs have parallel=single"
        )
    there, kind = _devices_here(device)
    if parallel.devices > there:
        raise UserError(f"parallel.devices={parallel.devices} is more than there are: {kind}")
    shared = layout.sharded or layout.tensor > 1
    if shared and config.optim.name not in BY_ELEMENT:
        raise UserError(
            f"optim.name={config.optim.name} keeps state that parallel={parallel.name} cannot "
            f"split; use adamw, lion or sgd, or parallel=ddp"
        )
    if layout.tensor > 1:
        check_heads_apart(config, layout.tensor, device)


def _devices_here(device: torch.device) -> tuple[int, str]:
    """Return how many devices a run may have here, and what they are in words."""
    if device.type == "cuda":
        count = torch.cuda.device_count()
        return count, f"{count} GPUs on this machine"
    cores = cores_here()
    return 4 * cores, f"on a CPU a device is a process, at most 4 for each of {cores} cores"


def _plain(optimizer: Optimizer) -> Optimizer:
    return optimizer.optimizer if isinstance(optimizer, LightningOptimizer) else optimizer


def _fit_schedulers(checkpoint: dict[str, Any], *, groups: int) -> None:
    """Give the schedulers' state so many groups of parameters: all have one learning rate."""
    for state in checkpoint["lr_schedulers"]:
        for key, value in state.items():
            if isinstance(value, list):
                state[key] = value[:1] * groups
