"""The overhead benchmark measures what it says, at a tiny size."""

from __future__ import annotations

import pytest

from vitladder.bench.between_runs import measure_between_runs
from vitladder.bench.overhead import Overhead, measure_overhead


@pytest.mark.slow
def test_both_loops_are_timed_in_turn() -> None:
    measured = measure_overhead(rounds=2, steps=60)
    assert len(measured.bare_ms) == len(measured.ours_ms) == 2
    assert min(*measured.bare_ms, *measured.ours_ms) > 0
    assert "interleaved rounds" in str(measured)


def test_the_ratio_is_the_median_over_rounds_and_its_quartiles_tell_the_noise() -> None:
    measured = Overhead(bare_ms=[10, 10, 10], ours_ms=[11, 10, 30])
    assert measured.ratio == pytest.approx(1.1)
    assert measured.quartiles == pytest.approx((1.0, 3.0))


@pytest.mark.slow
def test_what_lies_between_runs_is_read_from_their_records() -> None:
    measured = measure_between_runs("csv", runs=3)
    assert len(measured.seconds) == 2
    assert min(measured.seconds) > 0
    assert "from one run of a multirun to the next" in str(measured)
