"""Rotary position embedding along rows and columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from vitladder.extend.places import patch_places, rotate_pairs
from vitladder.extend.position import Grid, PositionEncoding, TokenShape


@dataclass(frozen=True)
class RopeAxial(PositionEncoding):
    """RoPE by rows and columns, half of a head each (Heo et al. 2024, eq. 5).

    head_dim / 4 frequencies fall geometrically from 1 towards 1/theta. With `reference`, every
    grid is stretched to so many patches, so that other resolutions cover the same angles.
    """

    theta: float = 100.0
    reference: int = 0
    relative: ClassVar[bool] = True

    def supports(self, shape: TokenShape) -> str | None:
        """Refuse heads that do not split into pairs for rows and columns."""
        if shape.head_dim % 4:
            return f"head_dim must be a multiple of 4, not {shape.head_dim}"
        return None

    def rotate(
        self, q: Tensor, k: Tensor, grid: Grid, layer: int, **parameters: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Turn by row in the first half of the channels, by column in the second."""
        del layer, parameters
        # Angles in bfloat16 would be wrong by 0.12.
        wide = torch.promote_types(q.dtype, torch.float32)
        rows, columns = patch_places(grid, self.reference, device=q.device, dtype=wide)
        count = q.shape[-1] // 4
        frequencies = self.theta ** -(torch.arange(count, device=q.device, dtype=wide) / count)
        angles = torch.cat([rows[:, None] * frequencies, columns[:, None] * frequencies], dim=-1)
        return rotate_pairs(q, angles), rotate_pairs(k, angles)

    def saved_bytes(self, shape: TokenShape, batch: int, element_size: int) -> int:
        """Return the bytes of the cosines and sines, of queries and keys apart."""
        del batch
        angles = shape.grid[0] * shape.grid[1] * shape.head_dim // 2
        return 4 * angles * max(4, element_size)
