"""The most memory that tensors hold during a call, as their allocator counts it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile


def peak_bytes(call: Callable[[], object], held: Iterable[Tensor], device: torch.device) -> int:
    """Return the peak in bytes while `call` runs, with what the tensors in `held` take before it.

    On CUDA the allocator tells; on a CPU torch's profiler lists every allocation, and the release
    of what was allocated during the call, so that `held` should outlive it.
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        call()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device)
    storages = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in held}
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        call()
    results = recorded.profiler.kineto_results if recorded.profiler else None
    events = [event for event in (results.events() if results else []) if event.nbytes()]
    level = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        level += event.nbytes()
        peak = max(peak, level)
    return sum(storages.values()) + peak
