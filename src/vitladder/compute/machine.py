"""Machine: what a plan must know of where its runs will train, measured here or listed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from vitladder.compute.duration import ASSUMED, StepCosts
from vitladder.compute.hardware import Device, known_device, recognised
from vitladder.compute.profile import read_profile, this_machine
from vitladder.compute.roofline import Roofline
from vitladder.config import Config

ELEMENT_SIZES = {"fp32": 4, "bf16": 2}


@dataclass(frozen=True)
class Machine:
    """Peaks in FLOP/s by precision, bandwidth in bytes/s, memory in bytes; None is unknown.

    `costs` are measured, or assumed where `assumed` says so.
    """

    name: str
    device: str
    peaks: Mapping[str, float]
    bandwidth: float | None
    memory: int | None
    costs: StepCosts | None
    assumed: bool
    watts: float | None = None

    def roofs(self) -> dict[int, Roofline]:
        """Return the rooflines that are known, by the bytes of an element."""
        if self.bandwidth is None:
            return {}
        return {
            size: Roofline(self.peaks[precision], self.bandwidth)
            for precision, size in ELEMENT_SIZES.items()
            if precision in self.peaks
        }


def machine_of(config: Config) -> Machine:
    """Return the machine that the config asks to plan for: `hardware`, or this one.

    Raises UserError for a `hardware` that is not listed.
    """
    if config.hardware is not None:
        return _listed(known_device(config.hardware))
    import torch

    wanted = config.parallel.device
    if wanted == "cuda" or (wanted == "auto" and torch.cuda.is_available()):
        name = torch.cuda.get_device_name()
        device = recognised(name)
        return _listed(device) if device is not None else _unknown(name, "cuda")
    if wanted == "mps" or (wanted == "auto" and torch.backends.mps.is_available()):
        return _unknown("Apple GPU", "mps")
    return _this_cpu(config.precision.name, config.threads or torch.get_num_threads())


def _listed(device: Device) -> Machine:
    return Machine(
        name=device.name,
        device="cuda",
        peaks=device.peaks,
        bandwidth=device.bandwidth,
        memory=device.memory,
        costs=ASSUMED,
        assumed=True,
        watts=device.watts,
    )


def _this_cpu(precision: str, threads: int) -> Machine:
    name, profile = this_machine(), read_profile()
    words = f"{name}, {threads} thread{'s' if threads > 1 else ''}"
    if profile is None or profile.machine != name:
        return _unknown(words, "cpu", _memory())
    peaks = {kind: by[threads] for kind, by in profile.peaks.items() if threads in by}
    return Machine(
        name=words,
        device="cpu",
        peaks=peaks,
        bandwidth=profile.bandwidth.get(threads),
        memory=_memory(),
        costs=profile.costs.get(precision, {}).get(threads),
        assumed=False,
    )


def _unknown(name: str, device: str, memory: int | None = None) -> Machine:
    return Machine(name, device, {}, None, memory, None, assumed=False)


def _memory() -> int | None:
    """Return the memory of this computer in bytes, where its system tells."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None
