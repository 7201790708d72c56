"""A device's peak is known by its whole name, or not at all."""

from __future__ import annotations

import pytest

from vitladder.compute.hardware import known_peak


@pytest.mark.parametrize(
    ("device", "bf16"),
    [
        ("NVIDIA A100-SXM4-80GB", 312e12),
        ("NVIDIA A100-PCIE-40GB", 312e12),
        ("NVIDIA H100 80GB HBM3", 989e12),
        ("NVIDIA H100 PCIe", 756e12),
        ("NVIDIA H200", 989e12),
        ("NVIDIA L4", 121e12),
        ("NVIDIA L40S", 362e12),
        ("NVIDIA GeForce RTX 4090", 165e12),
    ],
)
def test_a_known_device_has_its_peak(device: str, bf16: float) -> None:
    assert known_peak(device, "bf16") == bf16


@pytest.mark.parametrize(
    "device",
    [
        "NVIDIA L40",
        "NVIDIA RTX A1000",
        "NVIDIA A100X",
        "NVIDIA A100-SXM4-40GB MIG 1g.5gb",
        "NVIDIA H100 NVL",
        "NVIDIA H200 NVL",
        "NVIDIA GH200 480GB",
        "NVIDIA GeForce RTX 4090 Laptop GPU",
        "NVIDIA GeForce RTX 4090 D",
        "NVIDIA GeForce RTX 4090 with Max-Q Design",
        "A card of tomorrow",
        "",
    ],
)
def test_a_device_that_only_sounds_alike_has_none(device: str) -> None:
    assert known_peak(device, "bf16") is None
