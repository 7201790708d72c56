"""The order in which training visits images: one permutation per epoch, laid end to end."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vitladder.data.draws import IntArray, permutation


@dataclass(frozen=True)
class Visits:
    """The visits of one batch: the number of the first, and epoch and image of each, int64 [B]."""

    first: int
    epochs: IntArray
    indices: IntArray

    def part(self, own: slice) -> Visits:
        """Return some of the visits; `first` stays that of the whole batch."""
        return Visits(self.first, self.epochs[own], self.indices[own])


class Order:
    """Visit p belongs to epoch p // count and shows image permutation(seed, epoch)[p % count].

    Batch t holds visits [t * batch_size, (t + 1) * batch_size): it may cross epochs, so that
    nothing is dropped and sets smaller than a batch work.
    """

    def __init__(self, count: int, batch_size: int, seed: int) -> None:
        self._count = count
        self._batch_size = batch_size
        self._seed = seed
        self._permutations: dict[int, IntArray] = {}

    def visits(self, step: int) -> Visits:
        """Return the visits of batch `step`: the same whatever was asked before."""
        first, epochs, within = in_stored_order(step, self._batch_size, self._count)
        distinct = [int(epoch) for epoch in np.unique(epochs)]
        self._permutations = {
            epoch: self._permutations[epoch]
            if epoch in self._permutations
            else permutation(self._seed, epoch, self._count)
            for epoch in distinct
        }
        indices = np.empty_like(within)
        for epoch in distinct:
            here = epochs == epoch
            indices[here] = self._permutations[epoch][within[here]]
        return Visits(first, epochs, indices)


def in_stored_order(step: int, batch_size: int, count: int) -> tuple[int, IntArray, IntArray]:
    """Return the first visit of batch `step`, and the epoch and the place in it of each visit."""
    first = step * batch_size
    visits = np.arange(first, first + batch_size)
    return first, visits // count, visits % count


def evenly_spaced(count: int, most: int) -> IntArray:
    """Return at most `most` of the numbers 0..count-1, evenly spaced and ascending."""
    chosen = min(count, most)
    return np.arange(chosen) * count // max(chosen, 1)
