"""GEMM peaks of this machine's CPU, for every precision and number of threads."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from vitladder.compute.hardware import MachineProfile, profile_file
from vitladder.runs.atomic import write_text
from vitladder.runs.record import machine

_SIZE = 2048
_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def measure_machine(*, size: int = _SIZE, seconds: float = 1.0) -> MachineProfile:
    """Return the best FLOP/s of square products of this size, measured for `seconds` each."""
    counts = sorted({1, torch.get_num_threads()})
    peaks = {
        name: {threads: _peak(dtype, threads, size, seconds) for threads in counts}
        for name, dtype in _DTYPES.items()
    }
    return MachineProfile(machine(), peaks)


def keep(profile: MachineProfile) -> None:
    """Store the profile as this machine's, for the MFU of later runs."""
    file = profile_file()
    file.parent.mkdir(parents=True, exist_ok=True)
    write_text(file, json.dumps({"machine": profile.machine, "peaks": profile.peaks}, indent=1))


def describe(profile: MachineProfile) -> str:
    """Return the profile as a small table."""
    lines = [profile.machine, "precision  threads  GFLOP/s"]
    for precision, by_threads in profile.peaks.items():
        for threads, peak in by_threads.items():
            lines.append(f"{precision:<9}  {threads:>7}  {peak / 1e9:>7.0f}")
    return "\n".join(lines)


def _peak(dtype: torch.dtype, threads: int, size: int, seconds: float) -> float:
    left = torch.randn(size, size).to(dtype)
    right = torch.randn(size, size).to(dtype)
    out = torch.empty(size, size, dtype=dtype)
    best, end = float("inf"), time.perf_counter() + seconds
    with _threads(threads):
        torch.mm(left, right, out=out)
        while time.perf_counter() < end or best == float("inf"):
            began = time.perf_counter()
            torch.mm(left, right, out=out)
            best = min(best, time.perf_counter() - began)
    return 2 * size**3 / best


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
