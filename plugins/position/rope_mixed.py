"""Rotary position embedding with learned directions."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from vitladder.extend.places import patch_places, rotate_pairs
from vitladder.extend.position import Grid, PositionEncoding, TokenShape


@dataclass(frozen=True)
class RopeMixed(PositionEncoding):
    """RoPE-Mixed: every channel pair learns its frequency in x and y (Heo et al. 2024, eq. 6).

    Frequencies start with head_dim / 4 lengths falling from 1 towards 1/theta, in two directions
    at right angles, turned at random for each layer and head. With `reference`, every grid is
    stretched to so many patches.
    """

    theta: float = 10.0
    reference: int = 0
    relative: ClassVar[bool] = True
    keeps_inputs: ClassVar[bool] = True
    head_axes: ClassVar[Mapping[str, int]] = {"rope_frequencies": 2}

    def supports(self, shape: TokenShape) -> str | None:
        """Refuse heads that do not split into pairs in two directions."""
        if shape.head_dim % 4:
            return f"head_dim must be a multiple of 4, not {shape.head_dim}"
        return None

    def parameters(self, shape: TokenShape) -> dict[str, Tensor]:
        """Return rope_frequencies [2 (x, y), depth, heads, head_dim / 2]."""
        lengths = self.theta ** -(torch.arange(0, shape.head_dim, 4) / shape.head_dim)
        turns = 2 * math.pi * torch.rand(shape.depth, shape.heads, 1)
        directions = torch.cat([turns, turns + math.pi / 2], dim=-1)[..., None]
        x, y = (directions.cos() * lengths).flatten(-2), (directions.sin() * lengths).flatten(-2)
        return {"rope_frequencies": torch.stack([x, y])}

    def rotate(
        self, q: Tensor, k: Tensor, grid: Grid, layer: int, **parameters: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Turn by x times one frequency plus y times another, of this layer and head."""
        # Angles in bfloat16 would be wrong by 0.12.
        wide = torch.promote_types(q.dtype, torch.float32)
        rows, columns = patch_places(grid, self.reference, device=q.device, dtype=wide)
        x, y = parameters["rope_frequencies"][:, layer, :, None].to(wide)
        angles = columns[:, None] * x + rows[:, None] * y
        return rotate_pairs(q, angles), rotate_pairs(k, angles)

    def saved_bytes(self, shape: TokenShape, batch: int, element_size: int) -> int:
        """Return the bytes of the angles, cosines and sines, of queries and keys apart."""
        del batch
        patches = shape.grid[0] * shape.grid[1]
        angles = shape.heads * patches * shape.head_dim // 2
        return (5 * angles + 2 * patches) * max(4, element_size)
