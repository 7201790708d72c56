"""Known devices: dense peaks, memory bandwidth, memory and power, as their makers state them.

An unknown figure is None, never 0, and nothing is computed from it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from vitladder.errors import unknown

GIB = 2**30


@dataclass(frozen=True)
class Device:
    """What a data sheet says of one device, as torch counts devices.

    `name` is the short one of `hardware=`, `words` those that torch's name of it has. `peaks` are
    dense FLOP/s by precision, with products summed in float32; a precision that the device or its
    data sheet lacks is absent. `bandwidth` is in bytes/s. `memory` is the chips' bytes, of which
    driver and error correction keep some. `watts` is the board's power.
    """

    name: str
    words: str
    memory: int
    bandwidth: float
    watts: float | None
    peaks: Mapping[str, float] = field(default_factory=dict)

    def peak(self, precision: str) -> float | None:
        """Return the dense peak in FLOP/s, or None where it is unknown."""
        return self.peaks.get(precision)


def _tera(
    fp32: float,
    tf32: float | None,
    bf16: float | None,
    fp16: float,
    fp8: float | None = None,
) -> dict[str, float]:
    """Return the peaks that there are, of these in TFLOP/s."""
    listed = {"fp32": fp32, "tf32": tf32, "bf16": bf16, "fp16": fp16, "fp8": fp8}
    return {name: peak * 1e12 for name, peak in listed.items() if peak is not None}


_A100 = _tera(19.5, 156, 312, 312)
# A data sheet's sparse figures are halved: those of Hopper, Ada and Blackwell are sparse.
_H100 = _tera(67, 494.5, 989, 989, 1979)
_V100_SXM2 = _tera(15.7, None, None, 125)
_V100_PCIE = _tera(14, None, None, 112)

DEVICES = (
    # NVIDIA A100 data sheets, 2020 (40 GB) and 2021 (80 GB).
    Device("a100-40gb", "A100 40GB", 40 * GIB, 1555e9, 400, _A100),
    Device("a100-40gb-pcie", "A100 PCIe 40GB", 40 * GIB, 1555e9, 250, _A100),
    Device("a100-80gb", "A100 80GB", 80 * GIB, 2039e9, 400, _A100),
    Device("a100-80gb-pcie", "A100 PCIe 80GB", 80 * GIB, 1935e9, 300, _A100),
    # NVIDIA H100 data sheet, 2023, of SXM and PCIe.
    Device("h100", "H100", 80 * GIB, 3.35e12, 700, _H100),
    Device("h100-pcie", "H100 PCIe", 80 * GIB, 2e12, 350, _tera(51, 378, 756, 756, 1513)),
    # NVIDIA H200 data sheet, 2024.
    Device("h200", "H200", 141 * GIB, 4.8e12, 700, _H100),
    # NVIDIA HGX platform page (2025), an eighth of eight B200; memory and bandwidth an eighth of
    # the DGX B200 data sheet's 1,440 GB and 64 TB/s; power of the Blackwell architecture brief.
    Device("b200", "B200", 180 * GIB, 8e12, 1000, _tera(75, 1125, 2250, 2250, 4500)),
    # NVIDIA L4 data sheet, 2023.
    Device("l4", "L4", 24 * GIB, 300e9, 72, _tera(30.3, 60, 121, 121, 242.5)),
    # NVIDIA L40S data sheet, 2023.
    Device("l40s", "L40S", 48 * GIB, 864e9, 350, _tera(91.6, 183, 362.05, 362.05, 733)),
    # NVIDIA Ada GPU architecture white paper, 2022, appendix A, with float32 accumulation.
    Device("rtx4090", "RTX 4090", 24 * GIB, 1008e9, 450, _tera(82.6, 82.6, 165.2, 165.2, 330.3)),
    # NVIDIA Ampere GA102 white paper, 2020, appendix A, with float32 accumulation.
    Device("rtx3090", "RTX 3090", 24 * GIB, 936e9, 350, _tera(35.6, 35.6, 71, 71)),
    # NVIDIA V100 data sheet, 2020; Volta has no bfloat16.
    Device("v100-16gb", "V100 SXM2 16GB", 16 * GIB, 900e9, 300, _V100_SXM2),
    Device("v100-32gb", "V100 SXM2 32GB", 32 * GIB, 900e9, 300, _V100_SXM2),
    Device("v100-16gb-pcie", "V100 PCIe 16GB", 16 * GIB, 900e9, 250, _V100_PCIE),
    Device("v100-32gb-pcie", "V100 PCIe 32GB", 32 * GIB, 900e9, 250, _V100_PCIE),
    # NVIDIA T4 data sheet, 2019, and product brief (bandwidth); no bfloat16.
    Device("t4", "T4", 16 * GIB, 320e9, 70, _tera(8.1, None, None, 65)),
    # AMD Instinct MI250X data sheet, 2021: half of each figure, as torch takes each of its two
    # dies for a device; float32 by matrix cores, power typical.
    Device("mi250x", "MI250X", 64 * GIB, 1.6384e12, 250, _tera(47.85, None, 191.5, 191.5)),
    # AMD Instinct MI300X data sheet, 2023.
    Device("mi300x", "MI300X", 192 * GIB, 5.3e12, 750, _tera(163.4, 653.7, 1307.4, 1307.4, 2614.9)),
)
# Words that make another device of a name: cut-down, mobile, a later one, or a slice of the card.
_OTHER_DEVICE = {"nvl", "laptop", "mobile", "max", "d", "ti", "mig", "mi250"}


def known_device(name: str) -> Device:
    """Return the device of this short name, such as h100; UserError with the nearest otherwise."""
    devices = {device.name: device for device in DEVICES}
    if name not in devices:
        raise unknown("device", name, devices)
    return devices[name]


def recognised(device_name: str) -> Device | None:
    """Return the known device that an accelerator's own name tells, or None."""
    words = set(_words(device_name))
    for device in sorted(DEVICES, key=lambda device: len(device.words), reverse=True):
        listed = set(_words(device.words))
        if listed <= words and not _differs(words - listed, device):
            return device
    return None


def known_peak(device_name: str, precision: str) -> float | None:
    """Return the dense peak of a known accelerator in FLOP/s, or None."""
    device = recognised(device_name)
    return device.peak(precision) if device is not None else None


def _differs(others: set[str], device: Device) -> bool:
    """Say whether a word names another device, another size of memory, or a virtual share."""
    sizes = {word for word in others if re.fullmatch(r"\d+(gb|[abcq])", word)}
    return bool(others & _OTHER_DEVICE or sizes - {f"{device.memory // GIB}gb"})


def _words(name: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", name.lower())
