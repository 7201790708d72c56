"""Runs fall into budgets: exact ones, noisy ones, and compute that has none."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vitladder.laws.steps import budget_of, steps


@given(st.lists(st.integers(1, 9), min_size=1, max_size=8), st.integers(0, 99))
def test_budgets_of_exact_compute_are_its_values(counts: list[int], seed: int) -> None:
    flops = np.repeat(1e9 * 3.0 ** np.arange(len(counts)), counts)
    order = np.random.default_rng(seed).permutation(len(flops))
    assert budget_of(flops[order]).tolist() == np.repeat(range(len(counts)), counts)[order].tolist()


def test_compute_that_misses_its_budget_by_some_percent_is_one_budget() -> None:
    rng = np.random.default_rng(0)
    flops = np.repeat([1e9, 3e9, 1e10], 8) * np.exp(rng.uniform(-0.05, 0.05, 24))
    assert budget_of(flops).tolist() == np.repeat([0, 1, 2], 8).tolist()


def test_a_chain_of_near_compute_is_not_one_budget() -> None:
    flops = np.geomspace(1e9, 1e12, 200)
    assert budget_of(flops).max() > 5


def test_a_wide_spread_is_cut_into_eighths() -> None:
    flops = np.geomspace(1e9, 1e15, 80)
    parts = steps(flops)
    assert [len(part) for part in parts] == [10] * 8
    assert np.concatenate(parts).tolist() == list(range(80))


def test_steps_go_up_whatever_the_order_of_rows() -> None:
    flops = np.array([3e9, 1e9, 3e9, 1e9])
    assert [part.tolist() for part in steps(flops)] == [[1, 3], [0, 2]]
