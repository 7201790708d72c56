"""Memory that a step frees stays with the process: it need not be cleared again for the next one.

glibc returns large blocks to the system when they are freed, and Linux clears every page that it
gives out: for the activations of a small model on a CPU that is up to a tenth of a step.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import sys

from vitladder.errors import UserError

# From glibc's malloc.h; the numbers are part of its ABI.
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
NEVER = 2**31 - 1


def allocator_missing() -> str | None:
    """Return why freed memory cannot be kept here, or None."""
    if not sys.platform.startswith("linux") or not hasattr(ctypes.CDLL(None), "mallopt"):
        return "only glibc's malloc can be told to keep memory, and this is another"
    return None


def keep_freed_memory() -> None:
    """Keep what is freed from now on until the process ends; raises UserError without glibc."""
    missing = allocator_missing()
    if missing is not None:
        raise UserError(f"keep_memory=true: {missing}; keep_memory=false asks for nothing")
    libc = ctypes.CDLL(None)
    # Blocks in maps of their own would go back at once, and the heap's top when it is large.
    libc.mallopt(M_MMAP_MAX, 0)
    libc.mallopt(M_TRIM_THRESHOLD, NEVER)
