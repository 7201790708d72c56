"""The roofline: how fast work of some arithmetic intensity can be (Williams et al. 2009)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from vitladder.compute.formats import peak_names
from vitladder.errors import UserError


@dataclass(frozen=True)
class Roofline:
    """A machine's two limits: dense `peak` in FLOP/s and memory `bandwidth` in bytes/s."""

    peak: float
    bandwidth: float

    def __post_init__(self) -> None:
        """Refuse limits that are not above 0: an unknown one has no roofline."""
        if not (self.peak > 0 and self.bandwidth > 0):
            raise UserError(
                f"a roofline needs a peak and a bandwidth above 0, "
                f"not {self.peak:g} FLOP/s and {self.bandwidth:g} bytes/s"
            )

    @property
    def ridge(self) -> float:
        """The arithmetic intensity in FLOP/byte from which work is compute-bound."""
        return self.peak / self.bandwidth

    def attainable(self, intensity: float) -> float:
        """Return the most FLOP/s at this arithmetic intensity: min(peak, intensity x bandwidth)."""
        return min(self.peak, intensity * self.bandwidth)

    def compute_bound(self, flops: float, bytes_moved: float) -> bool:
        """Return whether the arithmetic takes at least as long as the memory traffic."""
        return flops / self.peak >= bytes_moved / self.bandwidth

    def seconds(self, flops: float, bytes_moved: float, efficiency: float = 1.0) -> float:
        """Return max(FLOPs / peak, bytes / bandwidth) / efficiency.

        The efficiency is the share of the roof that is reached, in (0, 1]; UserError outside.
        """
        if not 0 < efficiency <= 1:
            raise UserError(f"an efficiency is in (0, 1], not {efficiency:g}")
        return max(flops / self.peak, bytes_moved / self.bandwidth) / efficiency


def roofs_of(
    precision: str, peaks: Mapping[str, float], bandwidth: float | None
) -> dict[int, Roofline]:
    """Return the rooflines of a run in this precision that are known, by bytes of an element."""
    if bandwidth is None:
        return {}
    return {
        size: Roofline(peaks[name], bandwidth)
        for size, name in peak_names(precision).items()
        if name in peaks
    }
