"""Counts the bytes that a process hands to torch's collectives in one training step."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor
from torch._C._distributed_c10d import _resolve_process_group
from torch.utils._python_dispatch import TorchDispatchMode

from vitladder.compute.communication import all_reduce_bytes, reduce_scatter_bytes

_HALF = ("_allgather_base_", "_reduce_scatter_base_")


class Sent(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sums what this process sends, if collectives go around a ring (see compute/communication)."""

    def __init__(self) -> None:
        """Nothing is sent yet."""
        super().__init__()  # type: ignore[no-untyped-call]
        self.bytes = 0.0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Count a collective, and let it happen."""
        del types
        namespace, name = func.name().split("::")
        tensors = [value for value in _flat(args) if isinstance(value, Tensor)]
        if namespace == "_c10d_functional" and name == "all_reduce":
            self.bytes += all_reduce_bytes(_bytes(tensors), _resolve_process_group(args[2]).size())
        elif namespace == "c10d":
            self.bytes += _by_process_group(name, tensors, args)
        return func(*args, **(kwargs or {}))


class SentInAStep(Callback):
    """Counts one step of a run, and none of what is sent between steps."""

    def __init__(self, step: int) -> None:
        """Count the step of this number, from 0."""
        self._step = step
        self._sent = Sent()

    @property
    def bytes(self) -> int:
        """What this process sent."""
        return round(self._sent.bytes)

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Begin to count."""
        if trainer.global_step == self._step:
            self._sent.__enter__()  # type: ignore[no-untyped-call]

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """End, before the losses are summed."""
        if trainer.global_step == self._step + 1:
            self._sent.__exit__(None, None, None)  # type: ignore[no-untyped-call]


def _by_process_group(name: str, tensors: list[Tensor], args: Any) -> float:
    if name == "send":
        return _bytes(tensors)
    if name == "allreduce_":
        return all_reduce_bytes(_bytes(tensors), _size(args))
    if name in _HALF:
        return reduce_scatter_bytes(max(_bytes([tensor]) for tensor in tensors), _size(args))
    return 0.0


def _size(args: Any) -> int:
    """Return how many processes the group has, which is the first object among the arguments."""
    boxed = next(value for value in args if isinstance(value, torch.ScriptObject))
    return int(dist.ProcessGroup.unbox(boxed).size())


def _flat(value: Any) -> list[Any]:
    if isinstance(value, list | tuple):
        return [item for part in value for item in _flat(part)]
    return [value]


def _bytes(tensors: list[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
