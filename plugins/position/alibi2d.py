"""A penalty on scores that grows with the distance between patches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from vitladder.extend.places import patch_places
from vitladder.extend.position import Grid, PositionEncoding


@dataclass(frozen=True)
class Alibi2d(PositionEncoding):
    """Minus slope x Euclidean distance, a slope per head (ALiBi, Press et al. 2022, in 2-D).

    Head h of H, from 1, has the slope 2^(-steepness h / H). With `reference`, every grid is
    stretched to so many patches.
    """

    steepness: float = 8.0
    reference: int = 0
    relative: ClassVar[bool] = True

    def bias(
        self, grid: Grid, heads: int, device: torch.device, **parameters: Tensor
    ) -> Tensor | None:
        """Return [1, heads, patches, patches] in float32."""
        del parameters
        rows, columns = patch_places(grid, self.reference, device=device, dtype=torch.float32)
        distance = torch.hypot(rows[:, None] - rows, columns[:, None] - columns)
        numbers = torch.arange(1, heads + 1, device=device)
        slopes = 2.0 ** (-self.steepness * numbers / heads)
        return -slopes[None, :, None, None] * distance
