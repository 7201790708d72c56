"""The number formats of a run, as Lightning's plugins, and the proof that they are in effect."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.plugins import (
    DoublePrecision,
    HalfPrecision,
    MixedPrecision,
    Precision,
)
from torch import nn
from torch.nn.functional import linear
from torch.optim import Optimizer

from vitladder.compute.formats import FORMATS
from vitladder.errors import UserError

_TF32_FROM = (8, 0)


class LossScaling(MixedPrecision):
    """float16 with dynamic loss scaling (Micikevicius et al. 2018, section 3.2).

    The loss is multiplied by `scale` before the backward, so that small gradients do not vanish;
    a step whose gradients overflow is skipped and halves the scale. Lightning has this for CUDA
    alone: on a CPU it takes bfloat16 instead.
    """

    def __init__(self, device: str) -> None:
        """Start with torch's default scale."""
        super().__init__("16-mixed", device, torch.amp.GradScaler(device))
        self.skipped = 0

    @property
    def scale(self) -> float:
        """What the next loss is multiplied by."""
        return self._scaler.get_scale()

    @property
    def _scaler(self) -> torch.amp.GradScaler:
        assert self.scaler is not None  # noqa: S101  # for the type checker
        return self.scaler

    def unscale(self, optimizer: Optimizer) -> None:
        """Divide the gradients by the scale, so that they can be clipped."""
        self._scaler.unscale_(optimizer)

    def optimizer_step(  # type: ignore[override]
        self,
        optimizer: Optimizer,
        model: LightningModule,
        closure: Callable[[], Any],
        **options: Any,
    ) -> None:
        """Take the step unless a gradient is not finite; the gradients are unscaled already."""
        del model, options
        closure()
        before = self.scale
        self._scaler.step(optimizer)
        self._scaler.update()
        self.skipped += self.scale < before

    def state_dict(self) -> dict[str, Any]:
        """Return the scale and what it will do next, and the count of skipped steps."""
        return {"scaler": self._scaler.state_dict(), "skipped": self.skipped}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self._scaler.load_state_dict(state_dict["scaler"])
        self.skipped = state_dict["skipped"]


def precision_plugin(name: str, device: torch.device) -> Precision:
    """Return Lightning's plugin for a precision of conf/precision."""
    if name == "bf16":
        return MixedPrecision("bf16-mixed", device.type)
    if name == "fp16":
        return LossScaling(device.type)
    if name == "bf16_true":
        return HalfPrecision("bf16-true")
    if name == "fp64":
        return DoublePrecision()
    return Precision()


def check_precision(name: str, device: torch.device) -> None:
    """Raise UserError where the device does not compute in this precision."""
    if name == "tf32":
        if device.type != "cuda" or torch.version.hip is not None:
            raise UserError(
                f"precision=tf32 is of NVIDIA GPUs, and this run is on {device.type}; use "
                f"precision=fp32"
            )
        if torch.cuda.get_device_capability(device) < _TF32_FROM:
            raise UserError(
                f"precision=tf32 needs a GPU of compute capability 8.0 or more, and "
                f"{torch.cuda.get_device_name(device)} has less; use precision=fp32"
            )
    if name == "fp64" and device.type == "mps":
        raise UserError("precision=fp64 does not exist on Apple GPUs; use parallel.device=cpu")


@contextmanager
def matmul_precision(name: str) -> Iterator[None]:
    """Let float32 products be TF32 where that is asked, and exact everywhere else."""
    before = torch.get_float32_matmul_precision()
    # cuDNN has two switches, which torch wants to be alike; torch's type stubs know neither.
    switches = [getattr(torch.backends.cudnn, layer) for layer in ("conv", "rnn")]
    switches_before = [switch.fp32_precision for switch in switches]
    torch.set_float32_matmul_precision("high" if name == "tf32" else "highest")
    for switch in switches:
        switch.fp32_precision = "tf32" if name == "tf32" else "ieee"
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
        for switch, value in zip(switches, switches_before, strict=True):
            switch.fp32_precision = value


def effective_precision(plugin: Precision, model: nn.Module) -> dict[str, Any]:
    """Return the formats of weights and products as they are, by multiplying two numbers."""
    weight = next(model.parameters())
    one = torch.ones(1, 1, dtype=weight.dtype, device=weight.device)
    with plugin.forward_context():
        product = linear(one, one)
    return {
        "weights": _name(weight.dtype),
        "products": _name(product.dtype),
        "float32_products": torch.get_float32_matmul_precision(),
        "loss_scaling": isinstance(plugin, LossScaling),
    }


class InEffect(Callback):
    """Finds out in which formats a run trains, and refuses others than those asked for."""

    def __init__(self, name: str) -> None:
        """Take the precision that was asked for."""
        self._name = name
        self.found: dict[str, Any] = {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look, before the first step; raises UserError for other formats."""
        self.found = effective_precision(trainer.precision_plugin, pl_module)
        check_effective(self._name, self.found)


def check_effective(name: str, effective: dict[str, Any]) -> None:
    """Raise UserError where the formats in effect are not those that were asked for."""
    form = FORMATS[name]
    asked = {
        "weights": form.dtype if form.weight == form.activation else "float32",
        "products": form.dtype,
        "float32_products": "high" if name == "tf32" else "highest",
        "loss_scaling": name == "fp16",
    }
    if effective != asked:
        raise UserError(f"precision={name} is {asked}, but in effect here is {effective}")


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
