"""Forecast: memory, time and speed of a planned run on a machine, before it starts."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from vitladder.compute.activations import Layer
from vitladder.compute.communication import data_parallel_bytes
from vitladder.compute.duration import Ideal, forward_ideal, training_ideal, update_ideal
from vitladder.compute.formats import FORMATS
from vitladder.compute.machine import Machine
from vitladder.compute.memory import Batches, peak
from vitladder.compute.parameters import parameters
from vitladder.compute.part import Part
from vitladder.compute.parts import training_parts
from vitladder.compute.plan import Plan, load_encoding, load_kernel, position_params, validate_every
from vitladder.compute.shape import Shape, shape_of
from vitladder.config import Config, DataShape


@dataclass(frozen=True)
class Forecast:
    """What a run will need on a machine; None is "not known".

    `peak_memory_bytes` is of tensors on the device, `seconds` of the whole run with its held-out
    passes, `mfu` against the machine's dense peak; `assumed` says that the machine's costs were
    not measured, `why_no_time` why there is no time. `communication_bytes` is what a device sends
    in a step.
    """

    machine: str
    assumed: bool
    micro_batch: int
    peak_memory_bytes: int | None
    memory_bytes: int | None
    step_seconds: float | None
    seconds: float | None
    mfu: float | None
    communication_bytes: int
    why_no_time: str | None = None

    @property
    def fits(self) -> bool:
        """Whether the run has room, as far as is known."""
        if self.peak_memory_bytes is None or self.memory_bytes is None:
            return True
        return self.peak_memory_bytes <= self.memory_bytes


def forecast(config: Config, data: DataShape, plan: Plan, machine: Machine) -> Forecast:
    """Return what the planned run will need on the machine."""
    shape = shape_of(config.model)
    unknown = _why_no_time(config, machine)
    step, run = (None, None) if unknown else _seconds(config, data, plan, machine)
    top = machine.peaks.get(config.precision.name)
    rate = None if step is None else config.data.batch_size * plan.flops_per_image / step
    return Forecast(
        machine=machine.name,
        assumed=machine.assumed,
        micro_batch=_micro_batch(config),
        peak_memory_bytes=_peak(config, data, shape),
        memory_bytes=machine.memory,
        step_seconds=step,
        seconds=run,
        mfu=None if rate is None or top is None else rate / top,
        communication_bytes=round(data_parallel_bytes(plan.n_params, _devices(config))),
        why_no_time=unknown,
    )


def _peak(config: Config, data: DataShape, shape: Shape) -> int | None:
    layer = Layer(shape, load_kernel(config), load_encoding(config), FORMATS[config.precision.name])
    count = parameters(shape, position_params(config, shape))
    batches = Batches(
        step=config.data.batch_size,
        micro=_micro_batch(config),
        held_out=min(config.data.val_batch_size, data.val_images),
        remat=config.parallel.remat == "block",
    )
    return peak(layer, count, config.optim.name, batches)


def _why_no_time(config: Config, machine: Machine) -> str | None:
    """Return what is missing for a prediction of time, or None."""
    if config.compile:
        return "the steps of compiled models are not measured"
    if machine.costs is None:
        return machine.why_no_costs
    needed = {part.element_size for part in step_parts(config, batch=1)}
    missing = [
        name for name, form in FORMATS.items() if form.activation in needed - machine.roofs().keys()
    ]
    if missing:
        return f"{machine.name} has no known peak in {' and '.join(missing)}"
    return None


def _seconds(config: Config, data: DataShape, plan: Plan, machine: Machine) -> tuple[float, float]:
    """Return the seconds of a step and of the run on a machine whose costs are known."""
    roofs, costs = machine.roofs(), machine.costs
    assert costs is not None  # noqa: S101  # for the type checker
    micro = _micro_batch(config)
    parts = step_parts(config, micro)
    depth, batch = config.model.depth, config.data.batch_size
    work = training_ideal(parts, depth, roofs)
    if config.parallel.remat == "block":
        work += forward_ideal(parts, depth, roofs)
    step = costs.step + (_pieces(work, batch, micro) + update_ideal(parts, roofs)).seconds(costs)
    at_once = min(config.data.val_batch_size, data.val_images)
    forward = forward_ideal(step_parts(config, at_once), depth, roofs)
    held_out = _pieces(forward, data.val_images, at_once).seconds(costs)
    passes = ceil(plan.steps / validate_every(config, plan))
    return step, costs.run + plan.steps * step + passes * held_out


def _pieces(work: Ideal, images: int, at_once: int) -> Ideal:
    """Return the work on so many images, given that on `at_once`; the last piece may be smaller."""
    times, share = ceil(images / at_once), images / at_once
    return Ideal(work.operations * times, work.matmul * share, work.moved * share)


def step_parts(config: Config, batch: int) -> tuple[Part, ...]:
    """Return the parts of a step of a resolved config on so many images."""
    shape = shape_of(config.model)
    return training_parts(
        shape,
        load_kernel(config),
        batch,
        FORMATS[config.precision.name].activation,
        position_params=position_params(config, shape),
        rotates=load_encoding(config).rotates,
    )


def _devices(config: Config) -> int:
    return config.parallel.devices * config.parallel.nodes


def _micro_batch(config: Config) -> int:
    return config.parallel.micro_batch or config.data.batch_size
