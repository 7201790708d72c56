"""PositionEncoding: what a position plugin is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class TokenShape:
    """The tokens of one image: `prefix` class tokens, then a grid of patches, each of `width`."""

    width: int
    grid: tuple[int, int]
    prefix: int

    @property
    def seq(self) -> int:
        """The sequence length: prefix tokens and patches."""
        return self.prefix + self.grid[0] * self.grid[1]


class PositionEncoding(ABC):
    """Tells the model where a patch is; a subclass's fields are its options.

    A plugin is one file with one such class, a dataclass whose fields have literal defaults.
    """

    def parameters(self, shape: TokenShape) -> dict[str, Tensor]:
        """Return the learned parameters by name, initialised.

        The model owns them under these names, excludes them from weight decay, and passes them to
        `embed` by keyword.
        """
        del shape
        return {}

    def supports(self, shape: TokenShape) -> str | None:
        """Return why this encoding cannot serve tokens of this shape, or None when it can."""
        del shape
        return None

    @abstractmethod
    def embed(self, tokens: Tensor, grid: tuple[int, int], **parameters: Tensor) -> Tensor:
        """Return the tokens [B, prefix + rows * columns, width] with their places added."""
