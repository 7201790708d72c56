"""The machine's profile: measured, kept, and used for MFU only where it belongs."""

from __future__ import annotations

import pytest

from vitladder.bench.machine import describe, keep, measure_machine
from vitladder.compute.hardware import known_peak
from vitladder.compute.profile import (
    MachineProfile,
    measured_bandwidth,
    measured_peak,
    profile_file,
    read_profile,
)


def test_a_measured_peak_is_kept_and_found_again() -> None:
    assert read_profile() is None
    profile = measure_machine(size=64, array_bytes=4096, seconds=0.01)
    keep(profile)
    assert read_profile() == profile
    assert profile.peaks["fp32"][1] > 0
    assert profile.peaks.keys() == {"fp32", "bf16"}
    assert measured_peak(profile.machine, "fp32", 1) == profile.peaks["fp32"][1]
    assert profile.bandwidth.keys() == profile.peaks["fp32"].keys()
    assert measured_bandwidth(profile.machine, 1) == profile.bandwidth[1] > 0
    assert "GFLOP/s" in describe(profile)
    assert "GB/s" in describe(profile)


def test_another_machine_or_an_unknown_thread_count_has_no_peak() -> None:
    keep(MachineProfile("mine", {"fp32": {1: 1e9}}, {1: 2e9}))
    assert measured_peak("mine", "fp32", 1) == 1e9
    assert measured_peak("other", "fp32", 1) is None
    assert measured_peak("mine", "fp32", 3) is None
    assert measured_peak("mine", "fp64", 1) is None
    assert measured_bandwidth("mine", 1) == 2e9
    assert measured_bandwidth("other", 1) is None
    assert measured_bandwidth("mine", 3) is None


def test_a_profile_of_an_older_version_has_an_unknown_bandwidth() -> None:
    profile_file().parent.mkdir(parents=True)
    profile_file().write_text('{"machine": "mine", "peaks": {"fp32": {"1": 1e9}}}')
    assert measured_peak("mine", "fp32", 1) == 1e9
    assert measured_bandwidth("mine", 1) is None
    assert "GB/s" not in describe(MachineProfile("mine", {"fp32": {1: 1e9}}))


def test_a_profile_of_a_newer_version_is_read_without_what_is_new() -> None:
    profile_file().parent.mkdir(parents=True)
    profile_file().write_text('{"machine": "mine", "peaks": {}, "bandwidth": {}, "later": [1]}')
    assert read_profile() == MachineProfile("mine", {}, {})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"machine": 1}',
        '{"machine": "x", "peaks": 3}',
        '{"machine": "x", "peaks": {}, "bandwidth": 3}',
        '{"machine": "x", "peaks": {}, "bandwidth": {"1": null}}',
    ],
)
def test_a_damaged_profile_is_no_profile(text: str) -> None:
    profile_file().parent.mkdir(parents=True)
    profile_file().write_text(text)
    assert read_profile() is None


def test_known_devices_are_found_by_the_longest_name() -> None:
    assert known_peak("NVIDIA H100 80GB HBM3", "bf16") == 989e12
    assert known_peak("NVIDIA H100 PCIe", "bf16") == 756e12
    assert known_peak("NVIDIA L40S", "bf16") == 362.05e12
    assert known_peak("A card of tomorrow", "bf16") is None
