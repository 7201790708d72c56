"""Fixed sines and cosines of the row and the column."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vitladder.extend.position import PositionEncoding, TokenShape


@dataclass(frozen=True)
class SinCos2d(PositionEncoding):
    """Fixed sines and cosines of row and column (Beyer et al. 2022, "Better plain ViT baselines").

    width / 4 frequencies fall geometrically from 1 to 1/temperature.
    """

    temperature: float = 10000.0

    def supports(self, shape: TokenShape) -> str | None:
        """Refuse widths that do not split into sine and cosine of row and column."""
        return f"the width must be a multiple of 4, not {shape.width}" if shape.width % 4 else None

    def embed(self, tokens: Tensor, grid: tuple[int, int], **parameters: Tensor) -> Tensor:
        """Add the table to the patch tokens; prefix tokens are left alone."""
        del parameters
        table = torch.from_numpy(_table(grid, tokens.shape[-1], self.temperature)).to(tokens)
        prefix = tokens.shape[1] - table.shape[0]
        return torch.cat([tokens[:, :prefix], tokens[:, prefix:] + table], dim=1)


@lru_cache(maxsize=64)
def _table(grid: tuple[int, int], width: int, temperature: float) -> NDArray[np.float32]:
    """Return [rows * columns, width]: sin x, cos x, sin y, cos y, each width / 4 wide."""
    count = width // 4
    frequencies = temperature ** -(np.arange(count) / max(count - 1, 1))
    y, x = (place.reshape(-1, 1) * frequencies for place in np.indices(grid))
    table = np.concatenate([np.sin(x), np.cos(x), np.sin(y), np.cos(y)], axis=1)
    return table.astype(np.float32)
