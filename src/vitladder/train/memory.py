"""The peak memory of a run, where the device or the operating system counts it."""

from __future__ import annotations

from pathlib import Path

import torch

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")


def reset_peak_memory(device: torch.device) -> None:
    """Count from now on: on CUDA the allocator's peak, on Linux the process's resident set."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif _CLEAR.exists():
        # 5 resets the peak of the resident set (Linux, Documentation/filesystems/proc.rst).
        _CLEAR.write_text("5", encoding="ascii")


def peak_memory(device: torch.device) -> int | None:
    """Return the peak in bytes since the reset; on a CPU, of the whole process; None if unknown."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if not _STATUS.exists():
        return None
    for line in _STATUS.read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return None
