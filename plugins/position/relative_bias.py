"""A learned bias for every offset between two patches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from vitladder.extend.position import Grid, PositionEncoding, TokenShape


@dataclass(frozen=True)
class RelativeBias(PositionEncoding):
    """A learned bias per head and offset, one table for all layers (Liu et al. 2021, eq. 4).

    On another grid than the trained one the table is resized bicubically.
    """

    std: float = 0.02
    relative: ClassVar[bool] = True

    def parameters(self, shape: TokenShape) -> dict[str, Tensor]:
        """Return relative_bias [heads, 2 rows - 1, 2 columns - 1]."""
        rows, columns = shape.grid
        table = torch.empty(shape.heads, 2 * rows - 1, 2 * columns - 1)
        return {"relative_bias": nn.init.trunc_normal_(table, std=self.std)}

    def bias(
        self, grid: Grid, heads: int, device: torch.device, **parameters: Tensor
    ) -> Tensor | None:
        """Return [1, heads, patches, patches]."""
        table = parameters["relative_bias"]
        rows, columns = grid
        size = (2 * rows - 1, 2 * columns - 1)
        if tuple(table.shape[1:]) != size:
            table = interpolate(table[None], size, mode="bicubic", align_corners=True)[0]
        places = torch.arange(rows * columns, device=device)
        row, column = places // columns, places % columns
        down = row[:, None] - row + rows - 1
        right = column[:, None] - column + columns - 1
        return table[:, down, right][None]
