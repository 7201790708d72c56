"""What would make a run fit that does not: changes of its config, each computed, cheapest first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

from vitladder.compute.forecast import Forecast, forecast, largest_micro_batch
from vitladder.compute.formats import FORMATS
from vitladder.compute.kernels import attention_spec, interchangeable, with_kernel
from vitladder.compute.machine import Machine
from vitladder.compute.plan import Plan, load_kernel
from vitladder.compute.shape import attention_shape, shape_of
from vitladder.config import Config, DataShape
from vitladder.errors import UserError
from vitladder.extend import registry
from vitladder.extend.attention import AttentionKernel
from vitladder.parallel_rules import check_parallel

_Change = tuple[tuple[str, ...], Config]


@dataclass(frozen=True)
class WayOut:
    """Overrides that make a run fit, and what it then needs."""

    overrides: tuple[str, ...]
    forecast: Forecast


def ways_out(config: Config, data: DataShape, plan: Plan, machine: Machine) -> list[WayOut]:
    """Return the changes that fit, the fastest first and of equal ones those that change least.

    Tried are recomputing blocks, wholly or but for their products, and kernels that compute the
    same and keep less, alone and together, each with the largest micro-batch that fits.
    """
    found: list[WayOut] = []
    for sizes in _changes(config, machine):
        for overrides, changed in sizes:
            needed = forecast(changed, data, plan, machine)
            if needed.fits:
                found.append(WayOut(overrides, needed))
                break
    return sorted(found, key=lambda way: (way.forecast.seconds or 0.0, len(way.overrides)))


def _changes(config: Config, machine: Machine) -> Iterator[Iterator[_Change]]:
    """Yield, for every kernel and remat, the changes with micro-batches from the largest down."""
    kernels = ["", *_leaner_kernels(config, machine.device)]
    remats = dict.fromkeys([config.parallel.remat, "selective", "block"])
    for kernel, remat in product(kernels, remats):
        changes = (_changed(config, kernel, remat, size) for size in _micro_batches(config))
        yield (change for change in changes if _is_valid(change[1]))


def _changed(config: Config, kernel: str, remat: str, micro_batch: int | None) -> _Change:
    parallel = replace(config.parallel, remat=remat, micro_batch=micro_batch)
    overrides = []
    if kernel:
        overrides.append(f"attention={kernel}")
    if remat != config.parallel.remat:
        overrides.append(f"parallel.remat={remat}")
    if micro_batch != config.parallel.micro_batch:
        overrides.append(f"parallel.micro_batch={micro_batch}")
    changed = with_kernel(config, kernel) if kernel else config
    return tuple(overrides), replace(changed, parallel=parallel)


def _is_valid(config: Config) -> bool:
    """Whether the batch goes into such micro-batches on all devices."""
    try:
        check_parallel(config)
    except UserError:
        return False
    return True


def _micro_batches(config: Config) -> Sequence[int | None]:
    """The given one, then halves of a device's largest down to one image."""
    sizes: list[int | None] = [config.parallel.micro_batch]
    size = config.parallel.micro_batch or largest_micro_batch(config)
    while size > 1:
        size //= 2
        sizes.append(size)
    return sizes


def _leaner_kernels(config: Config, device: str) -> list[str]:
    """The kernels that compute the same, can serve the run, and keep less."""
    form = FORMATS[config.precision.name]
    spec = attention_spec(config, device, form.dtype)
    call = replace(
        attention_shape(shape_of(config.model), batch=1), bias=spec.bias, bias_grad=spec.bias_grad
    )

    def needs(kernel: AttentionKernel) -> int:
        return kernel.saved_bytes(call, form.activation) + kernel.working_bytes(
            call, form.activation
        )

    most = needs(load_kernel(config))
    return [
        name
        for name in interchangeable(config)
        if (kernel := _loaded(name)) is not None
        and kernel.supports(spec) is None
        and needs(kernel) < most
    ]


def _loaded(name: str) -> AttentionKernel | None:
    """Return a kernel with its defaults; one that cannot be loaded is no way out of anything."""
    try:
        return registry.load("attention", name)
    except UserError:
        return None
