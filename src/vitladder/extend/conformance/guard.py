"""Allocations with canaries: what a kernel allocates lies between bytes that nobody may write."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

_GUARD = 1 << 16
"""Bytes before and after: more than a tile, and a multiple of 16, so that alignment stays."""
_CANARY = 0xA5
_FACTORIES = ("empty", "empty_like", "empty_strided", "zeros", "zeros_like", "full", "full_like")
_METHODS = ("new_empty", "new_zeros", "new_full")


class Guard:
    """The guarded allocations of one call."""

    def __init__(self) -> None:
        """Start with none."""
        self.buffers: list[Tensor] = []

    def wrap(self, make: Callable[..., Tensor]) -> Callable[..., Tensor]:
        """Return a factory that places what `make` would return between canaries.

        The values are make's own, but of an empty tensor: there they are NaN (or the canary), so
        that reading what was never written shows.
        """
        empty = "empty" in make.__name__

        def guarded(*sizes: Any, **options: Any) -> Tensor:
            plain = make(*sizes, **options)
            if options.get("out") is not None or not _plain(plain):
                return plain
            return self._between_canaries(plain, empty)

        return guarded

    def broken(self) -> bool:
        """Return whether a canary is dead."""
        return any(
            bool((edge != _CANARY).any())
            for buffer in self.buffers
            for edge in (buffer[:_GUARD], buffer[-_GUARD:])
        )

    def _between_canaries(self, plain: Tensor, empty: bool) -> Tensor:
        size = plain.untyped_storage().nbytes()
        buffer = torch.ones(size + 2 * _GUARD, dtype=torch.uint8, device=plain.device) * _CANARY
        self.buffers.append(buffer)
        # The end of the data is not rounded up: the byte after the last element is a canary.
        inner = buffer[_GUARD : _GUARD + size].view(plain.dtype)
        inner = inner.as_strided(plain.shape, plain.stride(), inner.storage_offset())
        if not empty:
            inner.copy_(plain)
        elif plain.dtype.is_floating_point:
            inner.fill_(float("nan"))
        return inner.requires_grad_(plain.requires_grad)


def _plain(tensor: Tensor) -> bool:
    return (
        type(tensor) is Tensor
        and tensor.layout == torch.strided
        and tensor.device.type != "meta"
        and tensor.numel() > 0
        and not tensor.is_pinned()
    )


@contextmanager
def guarded() -> Iterator[Guard]:
    """Guard everything that torch.empty and its relatives allocate meanwhile."""
    guard = Guard()
    functions: dict[str, Any] = {name: guard.wrap(getattr(torch, name)) for name in _FACTORIES}
    methods: dict[str, Any] = {name: guard.wrap(getattr(Tensor, name)) for name in _METHODS}
    with patch.multiple(torch, **functions), patch.multiple(Tensor, **methods):
        yield guard
