"""Fixed sines and cosines of the row and the column."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vitladder.extend.places import sincos_table
from vitladder.extend.position import Grid, PositionEncoding, TokenShape


@dataclass(frozen=True)
class SinCos2d(PositionEncoding):
    """Fixed sines and cosines of row and column (Beyer et al. 2022, "Better plain ViT baselines").

    width / 4 frequencies fall geometrically from 1 to 1/temperature. With `reference`, every grid
    is stretched to so many patches.
    """

    temperature: float = 10000.0
    reference: int = 0

    def supports(self, shape: TokenShape) -> str | None:
        """Refuse widths that do not split into sine and cosine of row and column."""
        return f"the width must be a multiple of 4, not {shape.width}" if shape.width % 4 else None

    def embed(self, tokens: Tensor, grid: Grid, **parameters: Tensor) -> Tensor:
        """Add the table to the patch tokens; prefix tokens are left alone."""
        del parameters
        places = sincos_table(grid, tokens.shape[-1], self.temperature, self.reference)
        table = torch.from_numpy(places).to(tokens)
        prefix = tokens.shape[1] - table.shape[0]
        return torch.cat([tokens[:, :prefix], tokens[:, prefix:] + table], dim=1)
