"""Random numbers are functions of what they are drawn for."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vitladder.data.draws import below, draws, permutation

seeds = st.integers(0, 2**63 - 1)
MASK = 2**64 - 1


def splitmix64(state: int, count: int) -> int:
    """Return the count-th output in the words of the paper: add, then mix, in plain integers."""
    state = (state + count * 0x9E3779B97F4A7C15) & MASK
    z = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def test_the_generator_gives_the_published_first_outputs_of_seed_1234567() -> None:
    assert [int(draws(1234567, i)[0]) for i in range(3)] == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
    ]


@given(seeds, st.integers(0, 10**6), st.integers(0, 10**6))
def test_each_counter_restarts_the_generator_from_the_number_before(
    seed: int, first: int, second: int
) -> None:
    expected = splitmix64(splitmix64(seed, first + 1), second + 1)
    assert int(draws(seed, first, second)[0]) == expected


def test_counters_broadcast() -> None:
    together = draws(5, np.arange(4), 7)
    assert together.tolist() == [int(draws(5, i, 7)[0]) for i in range(4)]


@given(seeds, st.integers(1, 50))
def test_below_stays_below(seed: int, bound: int) -> None:
    numbers = below(draws(seed, np.arange(200)), bound)
    assert numbers.min() >= 0
    assert numbers.max() < bound


def test_below_is_uniform() -> None:
    counts = np.bincount(below(draws(1, np.arange(90_000)), 9), minlength=9)
    chi_square = ((counts - 10_000) ** 2 / 10_000).sum()
    assert chi_square < 26.1  # the 0.999 quantile with 8 degrees of freedom


@given(seeds, st.integers(0, 1000), st.integers(1, 300))
def test_an_epoch_is_a_permutation(seed: int, epoch: int, count: int) -> None:
    assert np.array_equal(np.sort(permutation(seed, epoch, count)), np.arange(count))


def test_epochs_and_seeds_differ() -> None:
    orders = {tuple(permutation(seed, epoch, 50)) for seed in range(5) for epoch in range(5)}
    assert len(orders) == 25
