"""What position encodings share: where patches are, and turning channels by angles."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vitladder.extend.position import Grid

if TYPE_CHECKING:
    import torch
    from torch import Tensor


def patch_places(
    grid: Grid, reference: float, *, device: torch.device, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Return the row and the column of every patch, [patches] each, counted from 0.

    With a `reference` above 0 the grid is stretched to so many patches in both directions, so that
    images of another resolution cover the same range.
    """
    import torch

    rows, columns = (
        torch.arange(side, device=device, dtype=dtype) * (reference / side if reference else 1.0)
        for side in grid
    )
    return rows.repeat_interleave(grid[1]), columns.repeat(grid[0])


def rotate_pairs(x: Tensor, angles: Tensor) -> Tensor:
    """Turn channel pairs (2i, 2i + 1) of the patch tokens by angle i (Su et al. 2021, eq. 34).

    x is [B, heads, prefix + patches, head_dim], angles broadcasts to [heads, patches,
    head_dim / 2]; prefix tokens are left alone. Computed in the angles' dtype, returned in x's.
    """
    import torch

    prefix = x.shape[-2] - angles.shape[-2]
    cosine, sine = angles.cos(), angles.sin()
    even, odd = x[..., prefix:, 0::2], x[..., prefix:, 1::2]
    turned = torch.stack([even * cosine - odd * sine, odd * cosine + even * sine], dim=-1)
    return torch.cat([x[..., :prefix, :], turned.flatten(-2).to(x.dtype)], dim=-2)


@lru_cache(maxsize=64)
def sincos_table(
    grid: Grid, width: int, temperature: float, reference: float
) -> NDArray[np.float32]:
    """Return [patches, width]: sin x, cos x, sin y, cos y, each width / 4 wide.

    The frequencies fall geometrically from 1 to 1/temperature (Beyer et al. 2022). An array rather
    than a tensor, since a tensor that is kept would remember the mode that it was made in.
    """
    count = width // 4
    frequencies = temperature ** -(np.arange(count) / max(count - 1, 1))
    steps = np.array([reference / side if reference else 1.0 for side in grid])
    places = np.indices(grid) * steps[:, None, None]
    y, x = (place.reshape(-1, 1) * frequencies for place in places)
    table = np.concatenate([np.sin(x), np.cos(x), np.sin(y), np.cos(y)], axis=1)
    return table.astype(np.float32)
