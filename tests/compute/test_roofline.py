"""The roofline: work is as slow as the slower of its arithmetic and its memory traffic."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vitladder.compute.roofline import Roofline
from vitladder.errors import UserError

AMOUNT = st.floats(1, 1e18)


@settings(deadline=None)
@given(flops=AMOUNT, moved=AMOUNT, efficiency=st.floats(0.01, 1))
def test_work_at_the_roof_takes_its_flops_over_what_is_attainable(
    flops: float, moved: float, efficiency: float
) -> None:
    roof = Roofline(peak=100e12, bandwidth=900e9)
    attainable = roof.attainable(flops / moved)
    assert roof.seconds(flops, moved) == pytest.approx(flops / attainable)
    assert roof.seconds(flops, moved, efficiency) == pytest.approx(flops / attainable / efficiency)
    assert attainable <= roof.peak


def test_the_ridge_is_where_both_limits_meet() -> None:
    roof = Roofline(peak=100e12, bandwidth=900e9)
    assert roof.attainable(roof.ridge) == pytest.approx(roof.peak)
    assert roof.attainable(roof.ridge / 2) == pytest.approx(roof.peak / 2)
    assert roof.attainable(roof.ridge * 2) == roof.peak
    assert roof.compute_bound(flops=112, bytes_moved=1)
    assert not roof.compute_bound(flops=111, bytes_moved=1)


def test_work_without_arithmetic_takes_its_traffic() -> None:
    assert Roofline(1e12, 1e9).seconds(0, 5e9) == 5


@pytest.mark.parametrize(("peak", "bandwidth"), [(0, 1e9), (1e12, 0), (-1, 1e9), (1, float("nan"))])
def test_an_unknown_limit_has_no_roofline(peak: float, bandwidth: float) -> None:
    with pytest.raises(UserError, match="needs a peak and a bandwidth above 0"):
        Roofline(peak, bandwidth)


@pytest.mark.parametrize("efficiency", [0, -0.5, 1.5])
def test_an_efficiency_is_a_share(efficiency: float) -> None:
    with pytest.raises(UserError, match=r"an efficiency is in \(0, 1\]"):
        Roofline(1, 1).seconds(1, 1, efficiency)
