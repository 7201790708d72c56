"""Where the flash kernels run: a GPU of some architecture, or Triton's interpreter."""

# mypy: disable-error-code="import-untyped,no-untyped-call"
from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, Protocol

import torch
import triton.language as tl
from triton.runtime.interpreter import InterpretedFunction

from ._flash_forward import forward_kernel
from ._flash_tiles import Tile

if isinstance(forward_kernel, InterpretedFunction):
    from vitladder.extend.interpreter import repair

    repair()


class Launcher(Protocol):
    """Runs one kernel on a one-dimensional grid; `architecture` is its row of the tile table."""

    architecture: str

    def __call__(
        self, kernel: Any, programs: int, tile: Tile, args: Sequence[Any], meta: dict[str, Any]
    ) -> None: ...


class DeviceLauncher:
    """Launches on the device of the tensors, or in the interpreter."""

    def __init__(self, device: torch.device) -> None:
        self.architecture = architecture_of(device)

    def __call__(
        self, kernel: Any, programs: int, tile: Tile, args: Sequence[Any], meta: dict[str, Any]
    ) -> None:
        # One grid dimension: the others end at 65535, which batch x heads can pass.
        with torch.cuda.device_of(args[0]):
            kernel[(programs,)](*args, **meta, num_warps=tile.warps, num_stages=tile.stages)


@cache
def architecture_of(device: torch.device) -> str:
    """Return the row of the tile table; 8.x and 12.x share one, the smallest shared memory's."""
    reason = device_reason(device)
    if reason:
        raise RuntimeError(reason)
    if isinstance(forward_kernel, InterpretedFunction):
        return "interpreter"
    if torch.version.hip:
        return "gfx942"
    major = torch.cuda.get_device_capability(device)[0]
    return {9: "sm_90", 10: "sm_100"}.get(major, "sm_80")


def device_reason(device: torch.device) -> str | None:
    """Return why the kernels, as Triton made them when they were imported, cannot run there."""
    ours, tritons = (isinstance(x, InterpretedFunction) for x in (forward_kernel, tl.cdiv))
    if ours != tritons:
        return (
            "flash is half interpreted: TRITON_INTERPRET changed after triton was imported; "
            "set it before Python starts, or use attention=sdpa"
        )
    if ours:
        return _interpreter_reason(device.type)
    if device.type != "cuda":
        return (
            f"flash cannot run on {device.type}: Triton compiles for GPUs only; set "
            f"TRITON_INTERPRET=1 before Python starts to interpret it on the CPU, slowly, "
            f"or use attention=sdpa"
        )
    return _gpu_reason(device)


def _interpreter_reason(kind: str) -> str | None:
    if kind == "cpu":
        return None
    otherwise = "start Python without it, or " if kind == "cuda" else ""
    return (
        f"flash is interpreted, on the CPU and not on {kind}, since TRITON_INTERPRET was set "
        f"when triton was imported; {otherwise}use attention=sdpa"
    )


def _gpu_reason(device: torch.device) -> str | None:
    if not torch.cuda.is_available():
        return "flash runs on GPUs, and torch finds none here; use attention=sdpa"
    if torch.version.hip:
        return None
    major, minor = torch.cuda.get_device_capability(device)
    if major >= 8:
        return None
    return f"flash needs compute capability 8.0 or newer, this is {major}.{minor}; attention=sdpa"
