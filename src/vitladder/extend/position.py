"""PositionEncoding: what a position plugin is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Grid = tuple[int, int]
"""Rows and columns of patches."""


@dataclass(frozen=True)
class TokenShape:
    """The tokens of one image, and the attention over them.

    `prefix` class and register tokens come first, then a grid of patches by rows.
    """

    width: int
    grid: Grid
    prefix: int
    depth: int = 1
    heads: int = 1
    head_dim: int = 64

    @property
    def seq(self) -> int:
        """The sequence length: prefix tokens and patches."""
        return self.prefix + self.grid[0] * self.grid[1]


class PositionEncoding:
    """Tells the model where a patch is; a subclass's fields are its options.

    A plugin is one file with one such class, a dataclass whose fields have literal defaults. It
    overrides any of three hooks, `embed`, `rotate` and `bias`. Each is given the grid of the
    images at hand, which need not be the one trained on, and by keyword the learned parameters,
    which the model owns. Class and register tokens have no place and are left alone.
    """

    relative: ClassVar[bool] = False
    """Whether scores depend on the patches' distance alone, not on where the pair is."""
    keeps_inputs: ClassVar[bool] = False
    """Whether the backward of `rotate` needs q and k as they came."""
    head_axes: ClassVar[Mapping[str, int]] = {}
    """Dimensions that count heads in the learned parameters of `rotate`, by parameter.

    Where several devices share a layer, `rotate` is given some of the heads, and of these
    parameters what belongs to them.
    """
    exceptions: ClassVar[Mapping[str, str]] = {}
    """Rules of the conformance kit that this encoding is known to break: rule to reason."""

    @property
    def rotates(self) -> bool:
        """Whether it makes new queries and keys."""
        return type(self).rotate is not PositionEncoding.rotate

    @property
    def biases(self) -> bool:
        """Whether it adds to the scores."""
        return type(self).bias is not PositionEncoding.bias

    @property
    def learns(self) -> bool:
        """Whether it may have learned parameters."""
        return type(self).parameters is not PositionEncoding.parameters

    def parameters(self, shape: TokenShape) -> dict[str, Tensor]:
        """Return the learned parameters by name, initialised.

        The model owns them under these names and excludes them from weight decay.
        """
        del shape
        return {}

    def supports(self, shape: TokenShape) -> str | None:
        """Return why this encoding cannot serve tokens of this shape, or None when it can."""
        del shape
        return None

    def embed(self, tokens: Tensor, grid: Grid, **parameters: Tensor) -> Tensor:
        """Return the tokens [B, prefix + rows * columns, width] with their places added."""
        del grid, parameters
        return tokens

    def rotate(
        self, q: Tensor, k: Tensor, grid: Grid, layer: int, **parameters: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return q and k of one layer, turned by their places.

        Both are [B, heads, prefix + rows * columns, head_dim].
        """
        del grid, layer, parameters
        return q, k

    def bias(
        self, grid: Grid, heads: int, device: torch.device, **parameters: Tensor
    ) -> Tensor | None:
        """Return what all layers add to the scores of patches, [1, heads, patches, patches]."""
        del grid, heads, device, parameters
        return None

    def saved_bytes(self, shape: TokenShape, batch: int, element_size: int) -> int:
        """Return the bytes one layer's `rotate` keeps for the backward, besides what it is given.

        What it returns does not count either.
        """
        del shape, batch, element_size
        return 0
