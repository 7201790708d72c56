"""Images a second: pauses and the first window are left out."""

from __future__ import annotations

import pytest

from vitladder.train import speed as module
from vitladder.train.speed import Speed


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock whose hand the test moves: clock[0] is the time."""
    now = [0.0]
    monkeypatch.setattr(module.time, "perf_counter", lambda: now[0])
    return now


def test_a_pause_does_not_count_and_the_first_window_counts_only_alone(clock: list[float]) -> None:
    speed = Speed(batch_size=10)
    assert speed.images_per_s is None
    speed.start(0)
    clock[0] = 10.0
    assert speed.window(5) == pytest.approx(5.0)
    assert speed.images_per_s == pytest.approx(5.0)
    clock[0] = 11.0
    speed.pause()
    clock[0] = 100.0
    speed.go_on()
    clock[0] = 101.0
    assert speed.window(15) == pytest.approx(50.0)
    assert speed.images_per_s == pytest.approx(50.0)
    clock[0] = 105.0
    assert speed.window(25) == pytest.approx(25.0)
    assert speed.images_per_s == pytest.approx(200 / 6)


def test_a_run_that_resumes_at_its_end_has_no_speed_and_no_error(clock: list[float]) -> None:
    speed = Speed(batch_size=10)
    speed.pause()
    clock[0] = 1.0
    speed.go_on()
    assert speed.images_per_s is None
