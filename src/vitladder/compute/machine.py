"""Machine: what a plan must know of where its runs will train, measured here or listed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from vitladder.compute.duration import ASSUMED, StepCosts
from vitladder.compute.formats import MEASURED
from vitladder.compute.hardware import Device, known_device, recognised
from vitladder.compute.profile import (
    measured_bandwidth,
    measured_costs,
    measured_peak,
    this_machine,
)
from vitladder.compute.roofline import Roofline, roofs_of
from vitladder.config import Config
from vitladder.errors import UserError

_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)


@dataclass(frozen=True)
class Machine:
    """Peaks in FLOP/s by Format.peak, bandwidth in bytes/s, memory in bytes; None is unknown.

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

    @property
    def why_no_costs(self) -> str:
        """What would make the costs of steps known."""
        if self.device == "cpu":
            return (
                f"`vitladder bench --machine` has not measured steps on {self.name}; it does so "
                f"with one thread and with all"
            )
        return f"{self.name} is not a device whose data sheet is listed"

    def roofs(self, precision: str) -> dict[int, Roofline]:
        """Return the rooflines of a run that are known, by the bytes of an element."""
        return roofs_of(precision, self.peaks, self.bandwidth)


def machine_of(config: Config) -> Machine:
    """Return the machine that the config asks to plan for: `hardware`, or this one.

    Raises UserError for a `hardware` that is not listed, and for a device that is not here.
    """
    if config.hardware is not None:
        return _listed(known_device(config.hardware))
    import torch

    wanted = config.parallel.device
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not there.get(wanted, True):
        raise UserError(
            f"parallel.device={wanted} is not there; hardware=NAME, such as hardware=h100, plans "
            f"for a machine that is elsewhere"
        )
    if wanted == "cuda" or (wanted == "auto" and there["cuda"]):
        return _this_gpu()
    if wanted == "mps" or (wanted == "auto" and there["mps"]):
        return _unknown("Apple GPU", "mps", memory=_memory())
    own = max(1, torch.get_num_threads() // config.parallel.devices)
    return _this_cpu(config.precision.name, config.threads or own)


def _this_gpu() -> Machine:
    import torch

    name = torch.cuda.get_device_name()
    memory = torch.cuda.get_device_properties(torch.device("cuda")).total_memory
    device = recognised(name)
    return _unknown(name, "cuda", memory) if device is None else _listed(device, memory)


def _listed(device: Device, memory: int | None = None) -> Machine:
    return Machine(
        name=device.name,
        device="cuda",
        peaks=device.peaks,
        bandwidth=device.bandwidth,
        memory=memory or device.memory,
        costs=ASSUMED,
        assumed=True,
        watts=device.watts,
    )


def _this_cpu(precision: str, threads: int) -> Machine:
    name = this_machine()
    peaks = {kind: measured_peak(name, kind, threads) for kind in MEASURED}
    return Machine(
        name=f"{name}, {threads} thread{'s' if threads > 1 else ''}",
        device="cpu",
        peaks={kind: peak for kind, peak in peaks.items() if peak is not None},
        bandwidth=measured_bandwidth(name, threads),
        memory=_memory(),
        costs=measured_costs(name, precision, threads),
        assumed=False,
    )


def _unknown(name: str, device: str, memory: int | None = None) -> Machine:
    return Machine(name, device, {}, None, memory, None, assumed=False)


def _memory() -> int | None:
    """Return the memory that this process may use in bytes, where the system tells.

    A container's limit is in the files of cgroups 2 and 1 (Linux, cgroup-v2.rst); "max" is none.
    """
    try:
        whole = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None
    limits = [file.read_text(encoding="ascii").strip() for file in _LIMITS if file.is_file()]
    return min([whole, *(int(limit) for limit in limits if limit.isdigit())])
