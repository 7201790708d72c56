"""The limits of this machine's CPU: GEMM peaks and memory bandwidth, by number of threads."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace

import torch

from vitladder.bench.steps import SHAPES, measure_costs
from vitladder.compute.formats import FORMATS, MEASURED
from vitladder.compute.profile import MachineProfile, profile_file, this_machine
from vitladder.compute.roofline import Roofline, roofs_of
from vitladder.runs.atomic import write_text

_SIZE = 2048
_DTYPES = {name: getattr(torch, FORMATS[name].dtype) for name in MEASURED}
# Three arrays of 256 MiB: STREAM asks for at least 4 times the caches, and these hold 32 MiB or so.
_ARRAY_BYTES = 2**28


def measure_machine(
    *, size: int = _SIZE, array_bytes: int = _ARRAY_BYTES, seconds: float = 1.0
) -> MachineProfile:
    """Return the best FLOP/s of square products of this size and the best bytes/s of arrays.

    Each is the best of those measured in `seconds`, at one thread and at torch's number.
    """
    counts = sorted({1, torch.get_num_threads()})
    peaks = {
        name: {threads: _peak(dtype, threads, size, seconds) for threads in counts}
        for name, dtype in _DTYPES.items()
    }
    bandwidth = {threads: _bandwidth(threads, array_bytes, seconds) for threads in counts}
    return MachineProfile(this_machine(), peaks, bandwidth)


def with_costs(profile: MachineProfile, shapes: Sequence[str] = SHAPES) -> MachineProfile:
    """Return the profile with the costs of training steps, for the same threads and precisions."""
    costs = {
        precision: {
            threads: measure_costs(precision, threads, _roofs(profile, precision, threads), shapes)
            for threads in profile.bandwidth
        }
        for precision in profile.peaks
    }
    return replace(profile, costs=costs)


def _roofs(profile: MachineProfile, precision: str, threads: int) -> dict[int, Roofline]:
    peaks = {name: by_threads[threads] for name, by_threads in profile.peaks.items()}
    return roofs_of(precision, peaks, profile.bandwidth[threads])


def keep(profile: MachineProfile) -> None:
    """Store the profile as this machine's, for the MFU and the plans of later runs."""
    file = profile_file()
    file.parent.mkdir(parents=True, exist_ok=True)
    write_text(file, json.dumps(asdict(profile), indent=1))


def describe(profile: MachineProfile) -> str:
    """Return the profile as two small tables; the second is absent where nothing is known."""
    lines = [profile.machine, "precision  threads  GFLOP/s"]
    for precision, by_threads in profile.peaks.items():
        for threads, peak in by_threads.items():
            lines.append(f"{precision:<9}  {threads:>7}  {peak / 1e9:>7.0f}")
    if profile.bandwidth:
        lines.append("memory     threads     GB/s")
    for threads, bandwidth in profile.bandwidth.items():
        lines.append(f"{'':<9}  {threads:>7}  {bandwidth / 1e9:>7.1f}")
    if profile.costs:
        lines.append("a step's     threads  outside the model  an operation  products  traffic")
    for precision, costs in profile.costs.items():
        for threads, cost in costs.items():
            lines.append(
                f"{precision:<11}  {threads:>7}  {1000 * cost.step:>14.2f} ms  "
                f"{1e6 * cost.operation:>9.0f} us  {cost.matmul:>7.1f}x  {cost.moved:>6.1f}x"
            )
    return "\n".join(lines)


def _peak(dtype: torch.dtype, threads: int, size: int, seconds: float) -> float:
    left = torch.randn(size, size).to(dtype)
    right = torch.randn(size, size).to(dtype)
    out = torch.empty(size, size, dtype=dtype)
    best = _fastest(lambda: torch.mm(left, right, out=out), threads, seconds)
    return 2 * size**3 / best


def _bandwidth(threads: int, array_bytes: int, seconds: float) -> float:
    """Return the better of STREAM's copy and triad (McCalpin 1995) in bytes/s.

    As there, the bytes are those that the program reads and writes, without what a cache fetches
    before it writes; the roof is the best that a program has seen.
    """
    a, b, c = (torch.ones(array_bytes // 4) for _ in range(3))
    copy = _fastest(lambda: a.copy_(b), threads, seconds / 2)
    triad = _fastest(lambda: torch.add(b, c, alpha=3.0, out=a), threads, seconds / 2)
    return max(2 * a.nbytes / copy, 3 * a.nbytes / triad)


def _fastest(run: Callable[[], object], threads: int, seconds: float) -> float:
    """Return the seconds of the fastest of the runs that fit in `seconds`, after one unmeasured."""
    best, end = float("inf"), time.perf_counter() + seconds
    with _threads(threads):
        run()
        while time.perf_counter() < end or best == float("inf"):
            began = time.perf_counter()
            run()
            best = min(best, time.perf_counter() - began)
    return best


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
