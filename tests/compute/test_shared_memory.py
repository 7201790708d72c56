"""The peak of one of several devices is what torch's allocator counts on it."""

from __future__ import annotations

import pytest
from arithmetic import most_bytes
from collectives import devices, shared
from torch.distributed.tensor import DTensor
from torch.profiler import ProfilerActivity, profile

from vitladder.compose import compose_config
from vitladder.compute.forecast import forecast
from vitladder.compute.machine import machine_of
from vitladder.compute.plan import plan, resolve
from vitladder.config import Config, DataShape
from vitladder.train.optimizer import build_optimizer

DATA = DataShape(train_images=1000, val_images=1, image_size=32, channels=3, classes=10)
WIDE = ("model.width=128", "model.heads=4", "model.depth=4", "model.patch=4", "compute.steps=1")


def resolved(*overrides: str) -> Config:
    return resolve(compose_config([*WIDE, *overrides]), DATA)


def predicted(config: Config) -> int | None:
    return forecast(config, DATA, plan(config, DATA), machine_of(config)).peak_memory_bytes


def measured(config: Config) -> int:
    """Bytes of the device's own weights, and the most beside them over two steps."""
    with devices(config, rank=0):
        model, gradient = shared(config, rank=0)
        optimizer = build_optimizer(config, model)
        own = [p.to_local() if isinstance(p, DTensor) else p for p in model.parameters()]
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
            for _ in range(2):
                optimizer.zero_grad()
                gradient()
                optimizer.step()
        return sum(tensor.nbytes for tensor in own) + most_bytes(profiled)


@pytest.mark.slow
@pytest.mark.parametrize(
    "case",
    [
        "ddp parallel.devices=4",
        "fsdp parallel.devices=4",
        "fsdp parallel.devices=4 precision=bf16 model.width=256 data.batch_size=16",
        "fsdp parallel.devices=4 parallel.micro_batch=4",
        "tp parallel.devices=4",
        "tp parallel.devices=2 precision=bf16 attention=naive",
        "tp parallel.devices=2 parallel.remat=selective",
        "fsdp_tp parallel.devices=4 precision=bf16",
        "pipeline parallel.devices=4",
        "pipeline parallel.devices=2 precision=bf16 parallel.remat=block",
    ],
)
def test_the_peak_of_one_of_several_devices(case: str) -> None:
    name, *options = case.split()
    config = resolved("data.batch_size=32", f"parallel={name}", *options)
    assert predicted(config) == pytest.approx(measured(config), rel=0.1)


def test_devices_that_train_together_need_less_each() -> None:
    alone = predicted(resolved()) or 0
    for name in ("fsdp", "tp", "pipeline"):
        assert (predicted(resolved(f"parallel={name}", "parallel.devices=4")) or 0) < 0.7 * alone
