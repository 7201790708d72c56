"""Counts the bytes that a process hands to torch's collectives in one training step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor
from torch._C._distributed_c10d import _resolve_process_group
from torch.utils._python_dispatch import TorchDispatchMode

from vitladder.compute.communication import all_reduce_bytes, reduce_scatter_bytes

_WITH_OUTPUT = ("_allgather_base_", "_reduce_scatter_base_")
_KINDS = {"send": "send", "allreduce_": "all_reduce", **dict.fromkeys(_WITH_OUTPUT, "half")}


@dataclass(frozen=True)
class Message:
    """One collective: its kind, the bytes it is about, and how many processes take part."""

    kind: str
    payload: int
    processes: int

    @property
    def sent(self) -> float:
        """What a process sends, if collectives go around a ring (see compute/communication)."""
        if self.kind == "send":
            return self.payload
        if self.kind == "all_reduce":
            return all_reduce_bytes(self.payload, self.processes)
        return reduce_scatter_bytes(self.payload, self.processes)


class Sent(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes the messages that this process sends."""

    def __init__(self) -> None:
        """Nothing is sent yet."""
        super().__init__()  # type: ignore[no-untyped-call]
        self.messages: list[Message] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Note a collective, and let it happen."""
        del types
        namespace, name = func.name().split("::")
        if namespace == "_c10d_functional" and name == "all_reduce":
            group = _resolve_process_group(args[2])
            self.messages.append(Message("all_reduce", sum(_sizes(args)), group.size()))
        elif namespace == "c10d" and name in _KINDS:
            # Of a gather or a scatter, the larger of input and output is what is about.
            sizes = _sizes(args)
            payload = max(sizes) if name in _WITH_OUTPUT else sum(sizes)
            self.messages.append(Message(_KINDS[name], payload, _processes(args)))
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
        return round(sum(message.sent for message in self._sent.messages))

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


def _processes(args: Any) -> int:
    """Return how many processes the group has, which is the first object among the arguments."""
    boxed = next(value for value in args if isinstance(value, torch.ScriptObject))
    return int(dist.ProcessGroup.unbox(boxed).size())


def _sizes(args: Any) -> list[int]:
    """Return the bytes of each tensor among the arguments, and in lists among them."""
    if isinstance(args, list | tuple):
        return [size for value in args for size in _sizes(value)]
    return [args.numel() * args.element_size()] if isinstance(args, Tensor) else []
