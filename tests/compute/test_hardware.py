"""A device is known by its whole name or not at all, and what is unknown of it is None."""

from __future__ import annotations

import pytest

from vitladder.compute.hardware import DEVICES, known_device, known_peak, recognised
from vitladder.errors import UserError


@pytest.mark.parametrize(
    ("device", "bf16"),
    [
        ("NVIDIA A100-SXM4-80GB", 312e12),
        ("NVIDIA A100-PCIE-40GB", 312e12),
        ("NVIDIA H100 80GB HBM3", 989e12),
        ("NVIDIA H100 PCIe", 756e12),
        ("NVIDIA H200", 989e12),
        ("NVIDIA A100 80GB PCIe", 312e12),
        ("NVIDIA B200", 2250e12),
        ("NVIDIA L4", 121e12),
        ("NVIDIA L40S", 362.05e12),
        ("NVIDIA GeForce RTX 4090", 165.2e12),
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
        "NVIDIA GeForce RTX 3090 Ti",
        "NVIDIA A100-SXM-64GB",
        "NVIDIA H100 96GB HBM3",
        "NVIDIA H100-20C",
        "AMD Instinct MI250X / MI250",
        "A card of tomorrow",
        "",
    ],
)
def test_a_device_that_only_sounds_alike_has_none(device: str) -> None:
    assert known_peak(device, "bf16") is None


@pytest.mark.parametrize(
    ("device", "name"),
    [
        ("NVIDIA A100-SXM4-40GB", "a100-40gb"),
        ("NVIDIA A100-SXM4-80GB", "a100-80gb"),
        ("NVIDIA A100-PCIE-40GB", "a100-40gb-pcie"),
        ("NVIDIA A100 80GB PCIe", "a100-80gb-pcie"),
        ("NVIDIA H100 80GB HBM3", "h100"),
        ("NVIDIA H100 PCIe", "h100-pcie"),
        ("Tesla V100-SXM2-32GB", "v100-32gb"),
        ("Tesla V100-PCIE-16GB", "v100-16gb-pcie"),
        ("Tesla T4", "t4"),
        ("NVIDIA GeForce RTX 3090", "rtx3090"),
        ("AMD Instinct MI250X", "mi250x"),
        ("AMD Instinct MI300X", "mi300x"),
    ],
)
def test_a_device_is_recognised_by_the_name_that_torch_gives(device: str, name: str) -> None:
    assert recognised(device) == known_device(name)


def test_a_short_name_gives_what_a_plan_for_another_machine_needs() -> None:
    h100 = known_device("h100")
    assert h100.peak("bf16") == 989e12
    assert h100.bandwidth == 3.35e12
    assert h100.memory == 80 * 2**30
    assert h100.watts == 700


def test_a_precision_that_a_device_lacks_is_unknown() -> None:
    assert known_device("v100-32gb").peak("bf16") is None
    assert known_device("t4").peak("tf32") is None
    assert known_peak("Tesla T4", "bf16") is None


def test_an_unknown_short_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(UserError, match="no device 'h10'; did you mean 'h100'"):
        known_device("h10")


def test_all_figures_are_of_one_kind() -> None:
    """Wider formats are never faster; no two devices have one name."""
    for device in DEVICES:
        peaks = [device.peak(name) for name in ("fp32", "tf32", "bf16", "fp8")]
        known = [peak for peak in peaks if peak is not None]
        assert known == sorted(known), device.name
        assert device.peak("fp16"), device.name
        assert device.bandwidth, device.name
        assert recognised(device.words) == device
