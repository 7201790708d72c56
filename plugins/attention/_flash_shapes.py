"""What the flash ops return: shapes, strides and dtypes, for kernels and for fake tensors alike."""

from __future__ import annotations

import torch
from torch import Tensor

WANT_Q, WANT_K, WANT_V, WANT_BIAS = 1, 2, 4, 8
"""The bits that tell the backward op which gradients to compute."""


def matrix_like(q: Tensor) -> Tensor:
    """Return an empty [B, H, M, D] whose memory is [B, M, H, D].

    That is the order in which a transformer joins its heads, so its transpose and reshape to
    [B, M, H·D] copy nothing.
    """
    batch, heads, rows, head_dim = q.shape
    return q.new_empty((batch, rows, heads, head_dim)).transpose(1, 2)


def rows_like(q: Tensor) -> Tensor:
    """Return an empty float32 [B, H, M]: a log-sum-exp or a delta."""
    return q.new_empty(q.shape[:3], dtype=torch.float32)


def outputs_like(q: Tensor) -> tuple[Tensor, Tensor]:
    """Return the empty output and log-sum-exp of these queries."""
    return matrix_like(q), rows_like(q)


def bias_gradient_like(bias: Tensor) -> Tensor:
    """Return an empty gradient of a bias, contiguous."""
    return bias.new_empty(bias.shape)
