"""On which device a run trains, and what the device can do."""

from __future__ import annotations

import joblib
import torch

from vitladder.compute.formats import FORMATS
from vitladder.compute.hardware import known_peak
from vitladder.compute.profile import measured_peak, this_machine
from vitladder.config import Config
from vitladder.errors import UserError

DTYPE = {name: form.dtype for name, form in FORMATS.items()}


def pick_device(wanted: str) -> torch.device:
    """Return the device to train on; `auto` is the accelerator if there is one, else the CPU.

    Raises UserError for a device that is not there.
    """
    there = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if wanted == "auto":
        wanted = next(name for name, found in there.items() if found)
    if not there[wanted]:
        have = ", ".join(name for name, found in there.items() if found)
        raise UserError(f"parallel.device={wanted} is not there (this machine has: {have})")
    return torch.device(wanted)


def device_name(device: torch.device) -> str:
    """Return what the record calls the device: the accelerator's own name, or "cpu"."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def peak_flops(device: torch.device, precision: str, threads: int | None = None) -> float | None:
    """Return the dense peak in FLOP/s of this device, known or measured, or None.

    A CPU's is that of so many threads, None: as many as this process computes on.
    """
    name = FORMATS[precision].peak
    if device.type == "cpu":
        return measured_peak(this_machine(), name, threads or torch.get_num_threads())
    return known_peak(device_name(device), name)


def cores_here() -> int:
    """Return how many cores this process may use."""
    return int(joblib.cpu_count())


def threads_of(config: Config) -> int | None:
    """Return how many CPU threads a process of this run computes on; None: as torch chooses.

    Processes on one machine that share a run share its cores.
    """
    if config.threads is not None or config.parallel.devices == 1:
        return config.threads
    return max(1, cores_here() // config.parallel.devices)
