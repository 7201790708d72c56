"""A learned vector for every place, as in the first Vision Transformer."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vitladder.extend.position import PositionEncoding, TokenShape


@dataclass(frozen=True)
class Learned(PositionEncoding):
    """A learned vector per token, the class token's included (Dosovitskiy et al. 2021, eq. 1)."""

    std: float = 0.02

    def parameters(self, shape: TokenShape) -> dict[str, Tensor]:
        """Return timm's pos_embed [1, seq, width], so that its checkpoints load."""
        table = torch.empty(1, shape.seq, shape.width)
        return {"pos_embed": nn.init.trunc_normal_(table, std=self.std)}

    def embed(self, tokens: Tensor, grid: tuple[int, int], **parameters: Tensor) -> Tensor:
        """Add the table to all tokens."""
        return tokens + parameters["pos_embed"]
