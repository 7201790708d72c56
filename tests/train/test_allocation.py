"""The most that tensors hold during a call: allocations, releases, and what was there before."""

from __future__ import annotations

import torch

from vitladder.train.allocation import peak_bytes

CPU = torch.device("cpu")
MIB = 2**20


def ones(mebibytes: int) -> torch.Tensor:
    return torch.ones(mebibytes * MIB, dtype=torch.uint8)


def test_what_is_released_before_the_next_is_allocated_does_not_add_up() -> None:
    def in_turn() -> None:
        for size in (3, 5, 2):
            ones(size)

    assert round(peak_bytes(in_turn, [], CPU) / MIB) == 5


def test_what_is_held_at_once_adds_up() -> None:
    def together() -> None:
        held = [ones(size) for size in (3, 5, 2)]
        del held

    assert round(peak_bytes(together, [], CPU) / MIB) == 10


def test_tensors_that_were_there_before_count_once_each_storage() -> None:
    before = ones(4)
    peak = peak_bytes(lambda: ones(1), [before, before[: 2 * MIB]], CPU)
    assert round(peak / MIB) == 5
