"""Tensors of a case: in the strides it asks for, inside buffers whose every other element is NaN.

A kernel that reads or writes past an edge then meets a NaN, or destroys one.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vitladder.extend.conformance.cases import Case

_PAD = 2083
"""NaN elements at both ends of a buffer: more than a few rows of a tile, and odd."""


@dataclass(frozen=True)
class Inputs:
    """The tensors of one call, the gradients of its results, and the buffers they lie in."""

    q: Tensor
    k: Tensor
    v: Tensor
    bias: Tensor | None
    d_output: Tensor
    d_lse: Tensor
    buffers: dict[str, Tensor]

    def snapshot(self) -> dict[str, Tensor]:
        """Return a copy of all bytes of all buffers, NaN included."""
        return {name: buffer.view(torch.uint8).clone() for name, buffer in self.buffers.items()}

    def touched(self, before: dict[str, Tensor]) -> list[str]:
        """Return the names of the buffers that are no longer what they were."""
        now = self.snapshot()
        return [name for name, old in before.items() if not torch.equal(old, now[name])]


def make_inputs(case: Case, device: str = "cpu", seed: int = 0) -> Inputs:
    """Draw the tensors of a case; equal cases and seeds have equal values."""
    draw = torch.Generator().manual_seed(seed)
    heads = (case.batch, case.heads)
    dtype = getattr(torch, case.dtype)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=draw, dtype=torch.float64).to(dtype)

    strength = 10.0 if case.logits == "large" else 1.0
    q = strength * normal(*heads, case.queries, case.head_dim)
    k = strength * normal(*heads, case.keys, case.head_dim)
    # A mean other than 0 keeps the sums of v from cancelling: a wrong weight is then seen.
    v = normal(*heads, case.keys, case.head_dim) + 0.5
    d_output = normal(*heads, case.queries, case.head_dim) + 0.25
    buffers: dict[str, Tensor] = {}
    q, k, v = _place_qkv(q.to(device), k.to(device), v.to(device), case, buffers)
    return Inputs(
        q=q,
        k=k,
        v=v,
        bias=_bias(case, draw, device, buffers),
        d_output=_place_gradient(d_output.to(device), case.grad_layout, buffers),
        d_lse=_place_lse_gradient(
            torch.randn((*heads, case.queries), generator=draw).to(device),
            case.grad_layout,
            buffers,
        ),
        buffers=buffers,
    )


def _place_qkv(
    q: Tensor, k: Tensor, v: Tensor, case: Case, buffers: dict[str, Tensor]
) -> tuple[Tensor, Tensor, Tensor]:
    if case.layout == "packed" and case.queries == case.keys:
        # One projection's output, as timm has it: [B, seq, 3, H, D], read in place.
        packed = place(torch.stack([q, k, v]), (1, 3, 0, 2, 4), "qkv", buffers)
        return packed[0], packed[1], packed[2]
    if case.layout == "expanded":
        # Grouped queries: all heads of a group read one head of k and v, with a stride of 0.
        k, v = (tensor[:, :1].expand_as(tensor) for tensor in (k, v))
    layout = "transposed" if case.layout == "packed" else case.layout
    named = zip("qkv", (q, k, v), strict=True)
    q, k, v = (arrange(tensor, layout, name, buffers) for name, tensor in named)
    return q, k, v


def arrange(tensor: Tensor, layout: str, name: str, buffers: dict[str, Tensor]) -> Tensor:
    """Return a copy of a [B, H, L, D] tensor in a layout; its buffer is noted by name."""
    if layout == "transposed":
        return place(tensor, (0, 2, 1, 3), name, buffers)
    if layout == "dmajor":
        return place(tensor, (0, 1, 3, 2), name, buffers)
    if layout == "expanded" and name in "kv":
        one = place(tensor[:, :1], (0, 1, 2, 3), name, buffers)
        return one.expand(tensor.shape)
    if layout in ("padded", "strided"):
        return _with_gaps(tensor, layout, name, buffers)
    return place(tensor, tuple(range(tensor.dim())), name, buffers)


def place(tensor: Tensor, order: tuple[int, ...], name: str, buffers: dict[str, Tensor]) -> Tensor:
    """Copy a tensor into a flat buffer between NaNs, its dimensions stored in this order."""
    flat = tensor.permute(order).reshape(-1)
    ends = flat.new_full((_PAD,), float("nan"))
    buffer = buffers[name] = torch.cat([ends, flat, ends])
    inner = buffer[_PAD : _PAD + flat.numel()].view([tensor.shape[axis] for axis in order])
    return inner.permute([order.index(axis) for axis in range(tensor.dim())])


def _with_gaps(tensor: Tensor, layout: str, name: str, buffers: dict[str, Tensor]) -> Tensor:
    """Copy a [B, H, L, D] tensor between NaNs: after every row, or after every element."""
    batch, heads, rows, columns = tensor.shape
    if layout == "strided":
        buffer = tensor.new_full((batch, heads, rows + 1, 2 * columns), float("nan"))
        view = buffer[:, :, :rows, ::2]
    else:
        buffer = tensor.new_full((batch, heads, rows + 3, columns + 5), float("nan"))
        view = buffer[:, :, 1 : rows + 1, 2 : columns + 2]
    view.copy_(tensor)
    buffers[name] = buffer
    return view


def _place_gradient(tensor: Tensor, layout: str, buffers: dict[str, Tensor]) -> Tensor:
    if layout == "constant":
        # What sum() hands to the backward: one number, expanded with strides of 0.
        return place(tensor.new_full((1,), 0.75), (0,), "do", buffers)[0].expand(tensor.shape)
    return arrange(tensor, layout, "do", buffers)


def _place_lse_gradient(tensor: Tensor, layout: str, buffers: dict[str, Tensor]) -> Tensor:
    if layout == "constant":
        return place(tensor.new_full((1,), -0.5), (0,), "dlse", buffers)[0].expand(tensor.shape)
    return place(tensor, (0, 1, 2) if layout == "contiguous" else (2, 0, 1), "dlse", buffers)


def _bias(
    case: Case, draw: torch.Generator, device: str, buffers: dict[str, Tensor]
) -> Tensor | None:
    shape = case.bias_shape()
    if shape is None:
        return None
    bias = torch.randn(shape, generator=draw, dtype=torch.float64)
    bias = bias + {"high": 1e4, "low": -1e4}.get(case.logits, 0.0)
    if case.mask == "scattered":
        bias[torch.rand(shape, generator=draw) < 0.4] = float("-inf")
    if case.mask == "rows":
        bias[..., ::3, :] = float("-inf")
    if case.mask == "keys":
        bias[..., (shape[-1] + 1) // 2 :] = float("-inf")
    dtype = "float32" if case.wide_bias and case.dtype != "float64" else case.dtype
    bias = bias.to(getattr(torch, dtype)).to(device)
    order = tuple(range(bias.dim()))
    if case.layout == "dmajor" and bias.dim() > 1:
        order = (*order[:-2], order[-1], order[-2])
    return place(bias, order, "bias", buffers)
