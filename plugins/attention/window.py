"""Local attention: a patch sees the patches within a radius, and all prefix tokens."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from vitladder.extend.attention import (
    AttentionFlops,
    AttentionKernel,
    AttentionShape,
    AttentionSpec,
)


@dataclass(frozen=True)
class Window(AttentionKernel):
    """2-D local attention, block-sparse by grid rows (Parmar et al. 2018, "Image Transformer").

    A patch sees those at most `radius` rows and columns away. Class and register tokens see all
    and are seen by all. The queries of one row share a block of 2 radius + 1 rows of keys, in
    which a mask cuts the columns.
    """

    radius: int = 3
    _grid: tuple[int, int] = (0, 0)
    _prefix: int = 0
    linear_memory: ClassVar[bool] = False

    def __post_init__(self) -> None:
        """Refuse a radius below 0."""
        if self.radius < 0:
            raise ValueError(f"attention.radius={self.radius} must be 0 or more")

    def placed(self, grid: tuple[int, int], prefix: int) -> Window:
        """Return the kernel for tokens on this grid."""
        return replace(self, _grid=grid, _prefix=prefix)

    def supports(self, spec: AttentionSpec) -> str | None:
        """Refuse causal attention, which has no meaning on a grid."""
        if spec.causal:
            return "patches on a grid have no before and after (causal)"
        return super().supports(spec)

    def sees(self, queries: int, keys: int) -> Tensor | None:
        """Return which keys a query sees, bool [queries, keys]."""
        self._check(queries, keys)
        rows, columns = self._grid
        row = torch.arange(rows).repeat_interleave(columns)
        column = torch.arange(columns).repeat(rows)
        near = (row[:, None] - row).abs().maximum((column[:, None] - column).abs()) <= self.radius
        seen = torch.ones(queries, keys, dtype=torch.bool)
        seen[self._prefix :, self._prefix :] = near
        return seen

    def __call__(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        *,
        bias: Tensor | None = None,
        causal: bool = False,
        scale: float | None = None,
        return_lse: bool = False,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Attend from prefix tokens to all, from the patches of each row to the rows near it."""
        if causal:
            raise ValueError("window attention cannot be causal")
        self._check(q.shape[-2], k.shape[-2])
        wide = torch.promote_types(q.dtype, torch.float32)
        scaled = q.to(wide) * (q.shape[-1] ** -0.5 if scale is None else scale)
        # Widened before keys are gathered, so that the gradient of a gather is summed in float32.
        k, v = k.to(wide), v.to(wide)
        mask_size = (q.shape[-2], k.shape[-2])
        if bias is not None:
            bias = bias.expand(*(1,) * (4 - max(2, bias.dim())), *bias.shape[:-2], *mask_size)
        keys, mask = self._blocks(q.device)
        first = _scores(scaled[:, :, : self._prefix], k, bias)
        rows = _scores(
            scaled[:, :, self._prefix :].reshape(*q.shape[:2], *self._grid, q.shape[3]),
            k[:, :, keys],
            mask if bias is None else self._of_blocks(bias, keys) + mask,
        )
        parts = [_mixed(first, v, bias is None), _mixed(rows, v[:, :, keys], bias is None)]
        output = torch.cat([parts[0], parts[1].flatten(2, 3)], dim=2).to(q.dtype)
        if not return_lse:
            return output
        return output, torch.cat([_logsumexp(first), _logsumexp(rows).flatten(2, 3)], dim=2)

    def saved_bytes(self, shape: AttentionShape, element_size: int) -> int:
        """Return the bytes of the weights, the scaled q, the gathered k and v, and widened ones."""
        wide, seq = max(4, element_size), shape.keys
        placed = self.placed(shape.grid, shape.prefix)
        rows, columns = shape.grid
        keys = rows * placed._block
        elements = seq * shape.head_dim + 2 * keys * shape.head_dim
        elements += shape.prefix * seq + columns * keys
        if shape.prefix:
            # The products of prefix and patches each keep their queries.
            elements += rows * columns * shape.head_dim
        if wide != element_size:
            elements += 2 * seq * shape.head_dim
        return shape.batch * shape.heads * elements * wide + 8 * keys

    def flops(self, shape: AttentionShape) -> AttentionFlops:
        """Return the FLOPs of the blocks, also of the columns in them that the mask cuts."""
        placed = self.placed(shape.grid, shape.prefix)
        seen = placed._prefix * shape.keys + shape.grid[0] * shape.grid[1] * placed._block
        product = 2 * shape.batch * shape.heads * seen * shape.head_dim
        return AttentionFlops(scores=product, values=product)

    @property
    def _span(self) -> int:
        """How many rows of keys a row of queries is given."""
        return min(2 * self.radius + 1, self._grid[0])

    @property
    def _block(self) -> int:
        """How many keys a row of queries is given."""
        return self._prefix + self._span * self._grid[1]

    def _blocks(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Return the keys of each row's block, [rows, block], and 0 or -inf for what it sees."""
        rows, columns = self._grid
        first = (torch.arange(rows, device=device) - self.radius).clamp(0, rows - self._span)
        near = first[:, None] + torch.arange(self._span, device=device)
        column = torch.arange(columns, device=device)
        places = (near[..., None] * columns + column).flatten(1) + self._prefix
        prefix = torch.arange(self._prefix, device=device).expand(rows, -1)
        row_far = (near - torch.arange(rows, device=device)[:, None]).abs() > self.radius
        column_far = (column[:, None] - column).abs() > self.radius
        far = (row_far[:, None, :, None] | column_far[None, :, None, :]).flatten(2)
        mask = torch.zeros(rows, columns, self._block, device=device)
        mask[:, :, self._prefix :].masked_fill_(far, float("-inf"))
        return torch.cat([prefix, places], dim=1), mask

    def _of_blocks(self, bias: Tensor, keys: Tensor) -> Tensor:
        """Return [B, H, rows, columns, block] of a bias [B, H, seq, seq]."""
        by_row = bias[:, :, self._prefix :].reshape(*bias.shape[:2], *self._grid, bias.shape[3])
        return by_row.gather(-1, keys[:, None].expand(*by_row.shape[:4], keys.shape[1]))

    def _check(self, queries: int, keys: int) -> None:
        seq = self._prefix + self._grid[0] * self._grid[1]
        if queries != seq or keys != seq:
            raise ValueError(
                f"window attention is placed on {self._prefix} + {self._grid[0]} x {self._grid[1]} "
                f"tokens, but was given {queries} queries and {keys} keys"
            )


def _scores(q: Tensor, k: Tensor, bias: Tensor | None) -> Tensor:
    """Return q kᵀ + bias [..., M, N], of those rows of the bias that q has."""
    scores: Tensor = q @ k.mT
    return scores if bias is None else scores + bias[..., : q.shape[-2], :]


def _mixed(scores: Tensor, v: Tensor, every_row_sees: bool) -> Tensor:
    """Return softmax(scores) v; a row that a bias masks wholly gives 0, forward and backward."""
    if every_row_sees:
        plain: Tensor = scores.softmax(dim=-1) @ v
        return plain
    masked = scores.amax(dim=-1, keepdim=True) == float("-inf")
    weights = scores.masked_fill(masked, 0.0).softmax(dim=-1).masked_fill(masked, 0.0)
    mixed: Tensor = weights @ v
    return mixed


def _logsumexp(scores: Tensor) -> Tensor:
    masked = scores.amax(dim=-1) == float("-inf")
    finite = scores.masked_fill(masked.unsqueeze(-1), 0.0)
    return finite.logsumexp(dim=-1).masked_fill(masked, float("-inf"))
