"""Local attention: a patch sees the patches within a radius, and all prefix tokens."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from vitladder.extend.attention import (
    AttentionFlops,
    AttentionKernel,
    AttentionShape,
    AttentionSpec,
)
from vitladder.extend.precise import (
    logsumexp_rows,
    softmax_rows,
    wide_dtype,
    without_autocast,
)


@dataclass(frozen=True)
class Window(AttentionKernel):
    """2-D local attention, block-sparse by grid rows (Parmar et al. 2018, "Image Transformer").

    A patch sees those at most `radius` rows and columns away. Class and register tokens see all
    and are seen by all. The queries of one row share a block of 2 radius + 1 rows of keys, in
    which a mask cuts the columns.
    """

    radius: int = 1
    _grid: tuple[int, int] = (0, 0)
    _prefix: int = 0

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
        with without_autocast(q):
            wide = wide_dtype(q)
            # Widened before keys are gathered, so that a gather's gradient is summed in float32.
            scores, values = self._scores(q.to(wide) * scale, k.to(wide), v.to(wide), bias)
            softmax = partial(torch.softmax, dim=-1) if bias is None else softmax_rows
            parts = [softmax(one) @ value for one, value in zip(scores, values, strict=True)]
            output = torch.cat([parts[0], parts[1].flatten(2, 3)], dim=2).to(q.dtype)
            if not return_lse:
                return output
            sums = [logsumexp_rows(one) for one in scores]
            return output, torch.cat([sums[0], sums[1].flatten(2, 3)], dim=2)

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

    def working_bytes(self, shape: AttentionShape, element_size: int) -> int:
        """Return the bytes of the gradients of weights and of scores."""
        placed = self.placed(shape.grid, shape.prefix)
        rows, columns = shape.grid
        weights = shape.prefix * shape.keys + columns * rows * placed._block
        return 2 * shape.batch * shape.heads * weights * max(4, element_size)

    def kept_inputs(self, shape: AttentionShape, element_size: int) -> int:
        """Return 2: k and v, for the prefix tokens; patches have theirs gathered."""
        return 2 if element_size >= 4 else 0

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

    def _scores(
        self, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None
    ) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """Return the scores of prefix tokens and of each row's block, and the values they mix."""
        prefix, size = self._prefix, (q.shape[-2], k.shape[-2])
        keys, mask = self._blocks(q.device)
        first = q[:, :, :prefix] @ k.mT
        rows = q[:, :, prefix:].reshape(*q.shape[:2], *self._grid, q.shape[3]) @ k[:, :, keys].mT
        if bias is not None:
            bias = bias.expand(*(1,) * (4 - max(2, bias.dim())), *bias.shape[:-2], *size)
            first, mask = first + bias[:, :, :prefix], self._of_blocks(bias, keys) + mask
        return (first, rows + mask), (v, v[:, :, keys])

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
