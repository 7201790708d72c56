"""Peaks that a speed is measured against: known devices, and what was measured on this machine.

An unknown peak is None, never 0, and no MFU is made from it.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

# Dense tensor-core peaks in FLOP/s, no sparsity: NVIDIA data sheets of A100 (2021), H100 SXM and
# PCIe (2023), H200 (2024), L4, L40S (2023), B200 (2024), RTX 4090 (Ada white paper).
_KNOWN: dict[str, dict[str, float]] = {
    "A100": {"fp32": 19.5e12, "bf16": 312e12},
    "H100 PCIe": {"fp32": 51e12, "bf16": 756e12},
    "H100": {"fp32": 67e12, "bf16": 989e12},
    "H200": {"fp32": 67e12, "bf16": 989e12},
    "B200": {"fp32": 75e12, "bf16": 2250e12},
    "L40S": {"fp32": 91.6e12, "bf16": 362e12},
    "L4": {"fp32": 30.3e12, "bf16": 121e12},
    "RTX 4090": {"fp32": 82.6e12, "bf16": 165e12},
}
# Words that make another device of a name: cut-down, mobile, or one slice of the card.
_OTHER_DEVICE = {"nvl", "laptop", "mobile", "max", "d", "mig"}


@dataclass(frozen=True)
class MachineProfile:
    """GEMM peaks measured on one machine: precision, then threads, to FLOP/s."""

    machine: str
    peaks: dict[str, dict[int, float]]


def known_peak(device_name: str, precision: str) -> float | None:
    """Return the dense peak of a known accelerator in FLOP/s, or None."""
    words = _words(device_name)
    for name in sorted(_KNOWN, key=len, reverse=True):
        listed = _words(name)
        if _stands_in(listed, words) and not _OTHER_DEVICE & (set(words) - set(listed)):
            return _KNOWN[name].get(precision)
    return None


def _words(name: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", name.lower())


def _stands_in(part: list[str], whole: list[str]) -> bool:
    return any(part == whole[i : i + len(part)] for i in range(len(whole)))


def measured_peak(machine: str, precision: str, threads: int) -> float | None:
    """Return the GEMM peak measured here with so many threads in FLOP/s, or None."""
    profile = read_profile()
    if profile is None or profile.machine != machine:
        return None
    return profile.peaks.get(precision, {}).get(threads)


def profile_file() -> Path:
    """Return where this machine's profile lies: in the user's cache folder."""
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(cache) / "vitladder" / "machine.json"


def read_profile() -> MachineProfile | None:
    """Return the profile that `vitladder bench --machine` left, or None; a damaged one is None."""
    try:
        data = json.loads(profile_file().read_text(encoding="utf-8"))
        peaks = {
            precision: {int(threads): float(peak) for threads, peak in by_threads.items()}
            for precision, by_threads in data["peaks"].items()
        }
        return MachineProfile(str(data["machine"]), peaks)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
