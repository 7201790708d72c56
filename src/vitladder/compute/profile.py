"""The profile of a machine: its peaks and bandwidth as they were measured on it."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from vitladder.compute.duration import StepCosts


@dataclass(frozen=True)
class MachineProfile:
    """What `vitladder bench --machine` measured; what it did not measure is absent.

    `peaks` are GEMM FLOP/s by precision and threads, `bandwidth` bytes/s by threads, `costs` those
    of training steps by precision and threads, with the other cores busy as well. The file has
    a key for every field; a key that this version does not know is passed over, and a field whose
    key an older version did not write has its default.
    """

    machine: str
    peaks: dict[str, dict[int, float]]
    bandwidth: dict[int, float] = field(default_factory=dict)
    costs: dict[str, dict[int, StepCosts]] = field(default_factory=dict)


def is_measured() -> bool:
    """Whether there is a profile of this machine."""
    return _own_profile(this_machine()) is not None


def measured_peak(machine: str, precision: str, threads: int) -> float | None:
    """Return the GEMM peak measured here with so many threads in FLOP/s, or None."""
    profile = _own_profile(machine)
    return None if profile is None else profile.peaks.get(precision, {}).get(threads)


def measured_bandwidth(machine: str, threads: int) -> float | None:
    """Return the memory bandwidth measured here with so many threads in bytes/s, or None."""
    profile = _own_profile(machine)
    return None if profile is None else profile.bandwidth.get(threads)


def measured_costs(machine: str, precision: str, threads: int) -> StepCosts | None:
    """Return what steps cost here with so many threads, or None."""
    profile = _own_profile(machine)
    return None if profile is None else profile.costs.get(precision, {}).get(threads)


@cache
def this_machine() -> str:
    """Return the processor's name and its count of cores, such as "Xeon, 2 cores"."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                name = line.partition(":")[2].strip()
                break
    return f"{name}, {os.cpu_count()} cores"


def profile_file() -> Path:
    """Return where this machine's profile lies: in the user's cache folder."""
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(cache) / "vitladder" / "machine.json"


def read_profile() -> MachineProfile | None:
    """Return the profile that `vitladder bench --machine` left, or None; a damaged one is None."""
    try:
        data = json.loads(profile_file().read_text(encoding="utf-8"))
        return MachineProfile(
            machine=str(data["machine"]),
            peaks={name: _by_threads(measured) for name, measured in data["peaks"].items()},
            bandwidth=_by_threads(data.get("bandwidth", {})),
            costs={
                name: {int(threads): StepCosts(**costs) for threads, costs in by_threads.items()}
                for name, by_threads in data.get("costs", {}).items()
            },
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _own_profile(machine: str) -> MachineProfile | None:
    file = profile_file()
    profile = _read_once(file, file.stat().st_mtime_ns) if file.is_file() else None
    return profile if profile is not None and profile.machine == machine else None


@cache
def _read_once(file: Path, changed: int) -> MachineProfile | None:
    """Read a profile once for as long as it does not change: a plan asks for every run."""
    del file, changed
    return read_profile()


def _by_threads(measured: dict[str, Any]) -> dict[int, float]:
    return {int(threads): float(value) for threads, value in measured.items()}
