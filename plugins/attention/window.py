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
        scale = q.shape[-1] ** -0.5 if scale is None else scale
        prefix, (rows, columns) = self._prefix, self._grid
        keys, mask = self._blocks(q.device)
        parts = [_attend(q[:, :, :prefix], k, v, _part(bias, 0, prefix), scale)] if prefix else []
        q_rows = q[:, :, prefix:].unflatten(2, (rows, columns))
        row_bias = mask
        if bias is not None:
            wide = bias.expand(*bias.shape[:2], *(q.shape[-2], k.shape[-2]))
            by_row = wide[:, :, prefix:].unflatten(2, (rows, columns))
            index = keys[:, None].expand(*by_row.shape[:4], keys.shape[1])
            row_bias = by_row.gather(-1, index) + mask
        output, lse = _attend(q_rows, k[:, :, keys], v[:, :, keys], row_bias, scale)
        parts.append((output.flatten(2, 3), lse.flatten(2, 3)))
        outputs, sums = zip(*parts, strict=True)
        whole = torch.cat(outputs, dim=2)
        return (whole, torch.cat(sums, dim=2)) if return_lse else whole

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

    def _check(self, queries: int, keys: int) -> None:
        seq = self._prefix + self._grid[0] * self._grid[1]
        if queries != seq or keys != seq:
            raise ValueError(
                f"window attention is placed on {self._prefix} + {self._grid[0]} x {self._grid[1]} "
                f"tokens, but was given {queries} queries and {keys} keys"
            )


def _part(bias: Tensor | None, first: int, last: int) -> Tensor | None:
    """Return the bias of some queries; one that is the same for all queries stays as it is."""
    return bias if bias is None or bias.shape[-2] == 1 else bias[..., first:last, :]


def _attend(
    q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, scale: float
) -> tuple[Tensor, Tensor]:
    """Return softmax attention and its log-sum-exp; q [..., M, D], k and v [..., N, D]."""
    wide = torch.promote_types(q.dtype, torch.float32)
    scores = (q.to(wide) * scale) @ k.to(wide).mT
    if bias is not None:
        scores = scores + bias
    masked = scores.amax(dim=-1, keepdim=True) == float("-inf")
    finite = scores.masked_fill(masked, 0.0)
    weights = finite.softmax(dim=-1).masked_fill(masked, 0.0)
    lse = finite.logsumexp(dim=-1).masked_fill(masked[..., 0], float("-inf"))
    return (weights @ v.to(wide)).to(q.dtype), lse
