"""What kernels made of torch's own operations share: wide arithmetic, and rows that see nothing."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import Tensor


def wide_dtype(x: Tensor) -> torch.dtype:
    """Return float32, or float64 for float64."""
    import torch

    return torch.promote_types(x.dtype, torch.float32)


def without_autocast(x: Tensor) -> AbstractContextManager[None]:
    """Keep products as wide as their factors; autocast would round them to 16 bits again."""
    import torch

    device = x.device.type
    # The meta device, where shapes are only counted, has no autocast.
    there = torch.amp.is_autocast_available(device)
    return torch.autocast(device, enabled=False) if there else nullcontext()


def softmax_rows(scores: Tensor) -> Tensor:
    """Return softmax over keys; a row whose scores are all -inf gives 0, forward and backward."""
    masked = scores.detach().amax(dim=-1, keepdim=True) == float("-inf")
    # A row of -inf has no softmax; a finite stand-in keeps NaN out of the backward too.
    return scores.masked_fill(masked, 0.0).softmax(dim=-1).masked_fill(masked, 0.0)


def logsumexp_rows(scores: Tensor) -> Tensor:
    """Return the natural log-sum-exp over keys; a row whose scores are all -inf gives -inf."""
    masked = scores.detach().amax(dim=-1) == float("-inf")
    finite = scores.masked_fill(masked.unsqueeze(-1), 0.0)
    return finite.logsumexp(dim=-1).masked_fill(masked, float("-inf"))
