"""What every flash kernel of one call is passed: tensors, strides, tile and constants."""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import Tensor

from ._flash_device import Launcher
from ._flash_tiles import Tile, padded, pick_tile

NARROW = 2**31 // 128
"""Strides whose sum is below this keep an offset inside of a tile of 128 x 128 in 32 bits."""


class Problem(NamedTuple):
    """What every kernel of one call shares."""

    q: Tensor
    k: Tensor
    v: Tensor
    bias: Tensor | None
    causal: bool
    scale: float
    launcher: Launcher

    @property
    def sizes(self) -> tuple[int, int, int, int, int]:
        """Batch, heads, queries, keys, head_dim."""
        batch, heads, queries, head_dim = self.q.shape
        return batch, heads, queries, self.k.shape[2], head_dim

    @property
    def inputs(self) -> tuple[Tensor | None, ...]:
        return self.q, self.k, self.v, self.bias

    @property
    def strides(self) -> tuple[tuple[int, ...], ...]:
        return self.q.stride(), self.k.stride(), self.v.stride(), broadcast_strides(self.bias)

    def tile(self, kernel: str) -> Tile:
        """Return the kernel's tile on this launcher's architecture."""
        q = self.q
        return pick_tile(self.launcher.architecture, kernel, q.element_size(), q.shape[-1])

    def constants(self, tile: Tile, *others: Tensor) -> dict[str, Any]:
        """Return what a kernel is compiled for; `others` are the tensors besides the inputs."""
        head_dim = self.q.shape[-1]
        tensors = [*self.inputs, *others]
        return {
            "CAUSAL": self.causal,
            "D": head_dim,
            "BLOCK_D": padded(head_dim),
            "BLOCK_M": tile.block_m,
            "BLOCK_N": tile.block_n,
            "WIDE": is_wide(*[tensor for tensor in tensors if tensor is not None]),
            # TF32 would lose 13 of float32's 23 bits; for 16-bit inputs this changes nothing.
            "PRECISION": "ieee",
        }

    def launch(self, kernel: Any, programs: int, tile: Tile, *args: Any, **meta: Any) -> None:
        """Run a kernel, unless there is nothing to run it on."""
        if programs:
            self.launcher(kernel, programs, tile, args, meta)


class Upstream(NamedTuple):
    """What a backward kernel reads besides the inputs."""

    dout: Tensor
    lse: Tensor
    delta: Tensor


def broadcast_strides(bias: Tensor | None) -> tuple[int, ...]:
    """Return the strides of a bias, 0 where it is broadcast."""
    if bias is None:
        return (0, 0, 0, 0)
    return tuple(
        0 if size == 1 else stride for size, stride in zip(bias.shape, bias.stride(), strict=True)
    )


def is_wide(*tensors: Tensor) -> bool:
    """Return whether an offset inside of a tile may need 64 bits."""
    return any(sum(tensor.stride()[-2:]) >= NARROW for tensor in tensors)
