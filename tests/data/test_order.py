"""Every epoch visits every image once, in an order that depends on seed and epoch alone."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vitladder.data.order import Order


@given(st.integers(1, 40), st.integers(1, 60), st.integers(0, 2**40))
def test_every_epoch_visits_every_image_once(count: int, batch_size: int, seed: int) -> None:
    order = Order(count, batch_size, seed)
    steps = -(-3 * count // batch_size)
    batches = [order.visits(step) for step in range(steps)]
    indices = np.concatenate([batch.indices for batch in batches])
    epochs = np.concatenate([batch.epochs for batch in batches])
    assert np.array_equal(epochs, np.arange(steps * batch_size) // count)
    assert [batch.first for batch in batches] == [step * batch_size for step in range(steps)]
    for epoch in range(3):
        visited = np.sort(indices[epoch * count : (epoch + 1) * count])
        assert np.array_equal(visited, np.arange(count))


@given(st.integers(1, 40), st.integers(1, 60), st.lists(st.integers(0, 30), min_size=1))
def test_a_batch_does_not_depend_on_what_was_asked_before(
    count: int, batch_size: int, steps: list[int]
) -> None:
    order = Order(count, batch_size, seed=1)
    for step in steps:
        expected = Order(count, batch_size, seed=1).visits(step)
        found = order.visits(step)
        assert np.array_equal(found.indices, expected.indices)
        assert np.array_equal(found.epochs, expected.epochs)
