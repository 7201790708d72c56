"""Forecast: memory, time and speed of a planned run on a machine, before it starts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil

from vitladder.compute.activations import Layer
from vitladder.compute.duration import UPDATE, Ideal, forward_ideal, training_ideal, update_ideal
from vitladder.compute.exchange import sent_in_a_step
from vitladder.compute.formats import FORMATS, MEASURED, peak_names
from vitladder.compute.machine import Machine
from vitladder.compute.memory import Batches, Sharing, peak
from vitladder.compute.parameters import parameters
from vitladder.compute.part import Part
from vitladder.compute.parts import training_parts
from vitladder.compute.plan import Plan, load_encoding, load_kernel, position_params, validate_every
from vitladder.compute.recompute import recomputed
from vitladder.compute.shape import Shape, shape_of
from vitladder.config import Config, DataShape
from vitladder.layout import Layout, layout_of, pieces


@dataclass(frozen=True)
class Forecast:
    """What a run will need on a machine; None is "not known".

    `peak_memory_bytes` is of tensors on the fullest device, `seconds` of the whole run with its
    held-out passes, `mfu` against the machine's dense peak; `assumed` says that the machine's
    costs were not measured, `why_no_time` why there is no time. `micro_batch` is a device's, and
    `communication_bytes` what the busiest sends in a step. `moved_bytes` is the compulsory traffic
    of a step with memory, which `bandwidth` in bytes/s bounds; of a run on one device.
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
    moved_bytes: float | None = None
    bandwidth: float | None = None

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
    top = machine.peaks.get(FORMATS[config.precision.name].peak)
    rate = None if step is None else config.data.batch_size * plan.flops_per_image / step
    return Forecast(
        machine=machine.name,
        assumed=machine.assumed,
        micro_batch=largest_micro_batch(config),
        peak_memory_bytes=_peak(config, data, shape),
        memory_bytes=_memory_of_a_device(config, machine),
        step_seconds=step,
        seconds=run,
        mfu=None if rate is None or top is None else rate / top,
        communication_bytes=sent_in_a_step(config),
        why_no_time=unknown,
        moved_bytes=_moved(config) if layout_of(config.parallel).devices == 1 else None,
        bandwidth=machine.bandwidth,
    )


def _memory_of_a_device(config: Config, machine: Machine) -> int | None:
    """Return what each device has; on a CPU devices are processes that share the machine's."""
    if machine.memory is None or machine.device != "cpu":
        return machine.memory
    return machine.memory // config.parallel.devices


def _peak(config: Config, data: DataShape, shape: Shape) -> int | None:
    """Return the peak of the fullest device.

    A pipeline's first stages have most blocks, and more micro-batches in flight the earlier they
    are; the very first receives gradients alone. They are counted with both ends of the model, of
    which each has one at most.
    """
    layout = layout_of(config.parallel)
    learned = position_params(config, shape)
    shape = replace(shape, depth=ceil(shape.depth / layout.stages))
    count = parameters(shape, learned, layout.tensor)
    form = FORMATS[config.precision.name]
    layer = Layer(shape, load_kernel(config), load_encoding(config), form, layout.tensor)
    batches = Batches(
        step=ceil(config.data.batch_size / layout.data),
        micro=largest_micro_batch(config),
        held_out=min(ceil(config.data.val_batch_size / layout.data), data.val_images),
        remat=config.parallel.remat,
    )
    peaks = [
        peak(
            layer,
            count,
            config.optim.name,
            stage,
            _sharing(config, layout),
            averages=int(config.optim.ema is not None),
        )
        for stage in _stages(batches, layout, pieces(config))
    ]
    return None if None in peaks else max(known for known in peaks if known is not None)


def _stages(batches: Batches, layout: Layout, pieces: int) -> list[Batches]:
    """Return what the first stages of a pipeline have at once, under 1F1B; all of one device.

    (Narayanan et al. 2019, section 3.2: as many micro-batches in flight as stages from here on.)
    """
    if layout.stages == 1:
        return [batches]
    first = replace(batches, in_flight=layout.stages, received=pieces)
    second = replace(batches, in_flight=layout.stages - 1, received=2 * pieces)
    return [first, second] if layout.stages > 2 else [first]


def _sharing(config: Config, layout: Layout) -> Sharing:
    """Return how the weights are kept: DDP has buckets, and PowerSGD the error of what it sent."""
    if layout.sharded:
        return Sharing(shards=layout.data)
    powersgd = config.parallel.compress == "powersgd"
    return Sharing(buckets=0 if layout.data == 1 else 2 if powersgd else 1)


def _why_no_time(config: Config, machine: Machine) -> str | None:
    """Return what is missing for a prediction of time, or None."""
    precision = config.precision.name
    if layout_of(config.parallel).devices > 1:
        return "the links between devices are not known"
    if config.compile:
        return "the steps of compiled models are not measured"
    if machine.device == "cpu" and precision not in MEASURED:
        return f"`vitladder bench --machine` measures steps in fp32 and bf16, not in {precision}"
    if machine.costs is None:
        return machine.why_no_costs
    needed = {part.element_size for part in step_parts(config, batch=1)}
    names = peak_names(precision)
    missing = [names[size] for size in sorted(needed - machine.roofs(precision).keys())]
    if missing:
        return f"{machine.name} has no known peak in {' and '.join(missing)}"
    return None


def _seconds(config: Config, data: DataShape, plan: Plan, machine: Machine) -> tuple[float, float]:
    """Return the seconds of a step and of the run on a machine whose costs are known."""
    roofs, costs = machine.roofs(config.precision.name), machine.costs
    assert costs is not None  # noqa: S101  # for the type checker
    micro = largest_micro_batch(config)
    parts = step_parts(config, micro)
    depth, batch = config.model.depth, config.data.batch_size
    work = training_ideal(parts, depth, roofs)
    work += forward_ideal(recomputed(parts, config.model, config.parallel.remat), depth, roofs)
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


def _moved(config: Config) -> float:
    """Return the bytes that a step must at least move: each input read, each output written."""
    micro = largest_micro_batch(config)
    pieces_of_batch = config.data.batch_size / micro
    return sum(
        (part.forward.bytes_moved + part.backward.bytes_moved)
        * (1 if part.name == UPDATE else pieces_of_batch)
        for part in step_parts(config, micro)
    )


def step_parts(config: Config, batch: int) -> tuple[Part, ...]:
    """Return the parts of a step of a resolved config on so many images."""
    shape, form = shape_of(config.model), FORMATS[config.precision.name]
    return training_parts(
        shape,
        load_kernel(config),
        batch,
        form.activation,
        position_params=position_params(config, shape),
        rotates=load_encoding(config).rotates,
        stored_size=form.weight,
    )


def largest_micro_batch(config: Config) -> int:
    """Return the most images of any device at once: its share goes into equal micro-batches."""
    share = ceil(config.data.batch_size / layout_of(config.parallel).data)
    return ceil(share / pieces(config))
