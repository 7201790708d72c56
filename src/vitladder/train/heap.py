"""Memory that a step frees stays with the process: it need not be cleared again for the next one.

glibc returns large blocks to the system when they are freed, and Linux clears every page that it
gives out: for the activations of a small model on a CPU that is up to a tenth of a step.
"""

from __future__ import annotations

import ctypes
import sys

from vitladder.errors import UserError

# From glibc's malloc.h; the numbers are part of its ABI.
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
NEVER = 2**31 - 1


def allocator_missing(device: str) -> str | None:
    """Return what keeping freed memory lacks for a device of this type, or None."""
    if device != "cpu":
        return f"a CPU: torch keeps the memory of {device} by itself"
    if not sys.platform.startswith("linux") or not hasattr(ctypes.CDLL(None), "mallopt"):
        return "glibc's malloc, and this system has another"
    return None


def check_allocator(device: str) -> None:
    """Raise UserError where freed memory cannot be kept for a device of this type."""
    missing = allocator_missing(device)
    if missing is not None:
        raise UserError(f"keep_memory=true needs {missing}; keep_memory=false needs nothing")


def keep_freed_memory() -> None:
    """Keep what is freed from now on until the process ends; check_allocator says where."""
    libc = ctypes.CDLL(None)
    # Blocks in maps of their own would go back at once, and the heap's top when it is large.
    libc.mallopt(M_MMAP_MAX, 0)
    libc.mallopt(M_TRIM_THRESHOLD, NEVER)
