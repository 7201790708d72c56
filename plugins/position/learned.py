"""A learned vector for every place, as in the first Vision Transformer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from vitladder.extend.position import Grid, PositionEncoding, TokenShape


@dataclass(frozen=True)
class Learned(PositionEncoding):
    """A learned vector per token, the class token's included (Dosovitskiy et al. 2021, eq. 1).

    On another grid than the trained one, which is square, the vectors of the patches are resized
    bicubically (section 3.2).
    """

    std: float = 0.02
    exceptions: ClassVar[Mapping[str, str]] = {
        "prefix_untouched": "its published form has a vector for the class token as well",
    }

    def parameters(self, shape: TokenShape) -> dict[str, Tensor]:
        """Return timm's pos_embed [1, seq, width], so that its checkpoints load."""
        table = torch.empty(1, shape.seq, shape.width)
        return {"pos_embed": nn.init.trunc_normal_(table, std=self.std)}

    def embed(self, tokens: Tensor, grid: Grid, **parameters: Tensor) -> Tensor:
        """Add the table to all tokens."""
        return tokens + _resized(parameters["pos_embed"], grid, tokens.shape[1])


def _resized(table: Tensor, grid: Grid, seq: int) -> Tensor:
    """Return the table for another grid; prefix tokens keep their vectors."""
    prefix = seq - grid[0] * grid[1]
    side = math.isqrt(table.shape[1] - prefix)
    if grid == (side, side):
        return table
    places = table[:, prefix:].reshape(1, side, side, -1).permute(0, 3, 1, 2)
    resized = interpolate(places.float(), grid, mode="bicubic", antialias=True)
    return torch.cat([table[:, :prefix], resized.flatten(2).mT.to(table.dtype)], dim=1)
