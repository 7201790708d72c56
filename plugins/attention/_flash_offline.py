"""A Triton driver without a GPU: kernels are specialised and compiled, and never run."""

# mypy: disable-error-code="import-untyped,no-untyped-call"
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from triton.backends.compiler import GPUTarget
from triton.backends.driver import DriverBase


def target_of(architecture: str) -> GPUTarget:
    """Return Triton's name of an architecture such as sm_90 or gfx942."""
    if architecture.startswith("gfx"):
        return GPUTarget("hip", architecture, 64)
    return GPUTarget("cuda", int(architecture.removeprefix("sm_")), 32)


class Offline(DriverBase):  # type: ignore[misc]
    """Answers what compiling asks of a driver; running on it is impossible."""

    def __init__(self, target: GPUTarget) -> None:
        self.target = target

    @classmethod
    def is_active(cls) -> bool:
        return True

    def map_python_to_cpp_type(self, ty: str) -> str:
        return ty

    def get_current_target(self) -> GPUTarget:
        return self.target

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, device: int) -> int:
        return device

    def get_active_torch_device(self) -> Any:
        raise RuntimeError("kernels are only compiled here")

    def get_benchmarker(self) -> Any:
        raise RuntimeError("kernels are only compiled here")


class Recorder:
    """A launcher for the flash kernels that compiles them for the active driver's target."""

    def __init__(self, architecture: str) -> None:
        self.architecture = architecture
        self.compiled: list[Any] = []

    def __call__(
        self, kernel: Any, programs: int, tile: Any, args: Sequence[Any], meta: dict[str, Any]
    ) -> None:
        # The caches are by device number, and here every target is device 0.
        kernel.device_caches.clear()
        self.compiled.append(
            kernel.warmup(
                *args, grid=(programs,), **meta, num_warps=tile.warps, num_stages=tile.stages
            )
        )
