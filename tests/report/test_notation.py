"""Numbers as text: short, readable, and never wrong by rounding up a prefix."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitladder.report.notation import percent, power_of_ten, si, significant, superscript
from vitladder.report.style import log_ticks

PREFIXES = {"k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15}


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.5, "0.5"), (999.6, "1k"), (34_200, "34.2k"), (1e6, "1M"), (999_999, "1M"), (None, "–")],
)
def test_si(value: float | None, text: str) -> None:
    assert si(value) == text


@given(st.floats(1, 1e17))
def test_si_is_within_half_a_percent(value: float) -> None:
    text = si(value)
    scale = PREFIXES.get(text[-1], 1.0)
    assert float(text.rstrip("kMGTP")) * scale == pytest.approx(value, rel=0.006)


@pytest.mark.parametrize(
    ("value", "text"),
    [(1e10, "10¹⁰"), (3e11, "3×10¹¹"), (9.97e9, "10¹⁰"), (2.5e-3, "2.5×10⁻³"), (0.0, "0")],
)
def test_power_of_ten(value: float, text: str) -> None:
    assert power_of_ten(value) == text


def test_more_digits_show_what_was_spent() -> None:
    assert power_of_ten(9.97e9, 3) == "9.97×10⁹"


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (0.2254, "0.225"), (1112.0, "1110"), (464.2, "464"), (3.4e9, "3.4×10⁹")],
)
def test_significant(value: float, text: str) -> None:
    assert significant(value) == text


def test_significant_keeps_its_digits_in_a_power_of_ten() -> None:
    assert significant(425_149.0, 4) == "4.251×10⁵"


def test_percent_and_superscript() -> None:
    assert percent(0.125) == "12.5 %"
    assert superscript("-0.51") == "⁻⁰·⁵¹"


@given(st.floats(1e-3, 1e18), st.floats(1.2, 1e9))
def test_ticks_lie_inside_and_are_few(low: float, ratio: float) -> None:
    ticks = log_ticks(low, low * ratio)
    assert ticks
    assert len(ticks) <= 8
    assert all(low * 0.999 <= tick <= low * ratio * 1.001 for tick in ticks)
