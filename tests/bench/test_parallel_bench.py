"""`vitladder bench --parallel`: a run is the same on any devices, and sends what is planned."""

from __future__ import annotations

from pathlib import Path

import pytest

from vitladder.bench.parallel import LAYOUTS, Shared, compare_layouts, format_layouts
from vitladder.compute.communication import all_reduce_bytes

STEPS = 30


@pytest.mark.slow
def test_every_layout_trains_as_one_device_does_and_sends_what_is_planned(tmp_path: Path) -> None:
    rows = compare_layouts([], tmp_path)
    assert [row.settings for row in rows] == list(LAYOUTS)
    print(format_layouts(rows))
    for row in rows:
        check_losses_and_weights(row)
        check_bytes(row)


def check_losses_and_weights(row: Shared) -> None:
    if "compress=" in row.settings:
        # DDP has two buckets of gradients at most in this model, and a hook for each.
        assert row.buckets >= STEPS, row
        assert 0 < row.loss <= 1e-3, row
    elif "bf16" in row.settings:
        assert 0 < row.loss <= 3e-2, row
    else:
        assert row.loss <= 1e-5, row
        assert row.weight <= 1e-5, row


def check_bytes(row: Shared) -> None:
    if "powersgd" in row.settings:
        assert row.counted is None, row
        return
    # The norm for clipping, one number, is no part of the plan; in DDP every device knows it.
    norm = 0 if "ddp" in row.settings else round(all_reduce_bytes(4, row.processes))
    assert row.counted == row.predicted + norm, row
