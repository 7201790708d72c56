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


def test_small_budgets_are_joined_and_none_is_cut() -> None:
    flops = np.geomspace(1e9, 1e15, 80)
    parts = steps(flops)
    assert np.concatenate(parts).tolist() == list(range(80))
    assert all(4 <= len(part) < 8 for part in parts)
    fourteen = np.repeat(10.0 ** np.arange(9, 23), 5)
    assert [len(part) for part in steps(fourteen)] == [5] * 14


def test_a_single_largest_run_of_many_is_not_held_out_alone() -> None:
    flops = np.concatenate([np.repeat([1e9, 1e10, 1e11], 40), [1e12]])
    assert [len(part) for part in steps(flops)] == [40, 40, 41]


def test_steps_go_up_whatever_the_order_of_rows() -> None:
    flops = np.array([3e9, 1e9, 3e9, 1e9])
    assert [part.tolist() for part in steps(flops)] == [[1, 3], [0, 2]]
