"""FlashAttention-2 in plain torch, block by block and by pointers, as a GPU kernel is written.

It is what the conformance kit's mutants change: every step of a real kernel has its line here, and
a call takes milliseconds. Tensors are read and written by offsets into their storage, so that a
wrong stride or mask has the effect that it has on a GPU.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from vitladder.extend.attention import AttentionKernel, AttentionShape

BLOCK = 32
LOG2E, LN2 = 1.4426950408889634, 0.6931471805599453
INF = float("inf")


def pointers(x: Tensor, b: int, h: int, rows: Tensor, cols: Tensor) -> Tensor:
    """Return the offsets of x[b, h, rows, cols] in x's storage."""
    sb, sh, sm, sd = x.stride()
    return x.storage_offset() + b * sb + h * sh + rows[:, None] * sm + cols[None, :] * sd


def storage(x: Tensor) -> Tensor:
    """Return all of x's storage, flat."""
    size = x.untyped_storage().nbytes() // x.element_size()
    return x.as_strided((size,), (1,), 0)


def load(x: Tensor, b: int, h: int, rows: Tensor, cols: Tensor) -> Tensor:
    """Return a block in float32; rows and columns outside of x give 0."""
    inside = (rows < x.shape[2])[:, None] & (cols < x.shape[3])[None, :]
    where = pointers(x, b, h, rows, cols).clamp(0, storage(x).numel() - 1)
    return torch.where(inside, storage(x)[where].float(), 0.0)


def store(x: Tensor, b: int, h: int, rows: Tensor, cols: Tensor, value: Tensor) -> None:
    """Write a block, but for rows and columns outside of x."""
    inside = (rows < x.shape[2])[:, None] & (cols < x.shape[3])[None, :]
    storage(x)[pointers(x, b, h, rows, cols)[inside]] = value[inside].to(x.dtype)


@dataclass(frozen=True)
class Call:
    """One call's inputs; bias is [B, H, M, N] with strides of 0 where it is broadcast."""

    q: Tensor
    k: Tensor
    v: Tensor
    bias: Tensor | None
    causal: bool
    scale: float

    def blocks(self, length: int) -> range:
        """Return where blocks start."""
        return range(0, length, BLOCK)

    def pairs(self) -> list[tuple[int, int]]:
        """Return all (batch, head)."""
        return [(b, h) for b in range(self.q.shape[0]) for h in range(self.q.shape[1])]

    def cols(self) -> Tensor:
        """Return the channels of a tile: head_dim, padded to a power of two."""
        return torch.arange(1 << (self.q.shape[3] - 1).bit_length())

    def scores(self, q: Tensor, k: Tensor, b: int, h: int, rows: Tensor, keys: Tensor) -> Tensor:
        """Return a block of scores, -inf where a key is masked or does not exist."""
        s = q @ k.T * self.scale
        if self.bias is not None:
            s = s + load(self.bias, b, h, rows, keys)
        s = s.masked_fill(keys[None, :] >= self.k.shape[2], -INF)
        if self.causal:
            offset = self.k.shape[2] - self.q.shape[2]
            s = s.masked_fill(keys[None, :] > rows[:, None] + offset, -INF)
        return s


def forward(call: Call) -> tuple[Tensor, Tensor]:
    """Return the output [B, H, M, D] and the log-sum-exp [B, H, M]."""
    out = torch.empty(call.q.shape, dtype=call.q.dtype)
    lse = torch.empty(call.q.shape[:3], dtype=torch.float32)
    cols = call.cols()
    for b, h in call.pairs():
        for start_m in call.blocks(call.q.shape[2]):
            rows = torch.arange(start_m, start_m + BLOCK)
            q = load(call.q, b, h, rows, cols)
            top = torch.full((BLOCK,), -INF)
            total, mixed = torch.zeros(BLOCK), torch.zeros(BLOCK, len(cols))
            for start_n in call.blocks(call.k.shape[2]):
                keys = torch.arange(start_n, start_n + BLOCK)
                k, v = load(call.k, b, h, keys, cols), load(call.v, b, h, keys, cols)
                s = call.scores(q, k, b, h, rows, keys) * LOG2E
                highest = torch.maximum(top, s.amax(1))
                shift = torch.where(highest == -INF, 0.0, highest)
                p = torch.exp2(s - shift[:, None])
                rescale = torch.exp2(top - shift)
                total = total * rescale + p.sum(1)
                mixed = mixed * rescale[:, None] + p.to(call.q.dtype).float() @ v
                top = highest
            masked = total == 0
            mixed = mixed / torch.where(masked, 1.0, total)[:, None]
            store(out, b, h, rows, cols, mixed)
            natural = torch.where(masked, -INF, (top + torch.log2(total)) * LN2)
            last = min(start_m + BLOCK, call.q.shape[2])
            lse[b, h, start_m:last] = natural[: last - start_m]
    return out, lse


def backward(
    call: Call, out: Tensor, lse: Tensor, do: Tensor, dlse: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """Return dq, dk, dv and the gradient of the whole bias [B, H, M, N]."""
    dq = torch.zeros(call.q.shape, dtype=torch.float32)
    dk, dv = (torch.empty(x.shape, dtype=x.dtype) for x in (call.k, call.v))
    ds_all = None if call.bias is None else torch.empty(call.bias.shape, dtype=torch.float32)
    delta = (out.float() * do.float()).sum(-1)
    delta = delta - dlse
    cols = call.cols()
    for b, h in call.pairs():
        for start_n in call.blocks(call.k.shape[2]):
            keys = torch.arange(start_n, start_n + BLOCK)
            k, v = load(call.k, b, h, keys, cols), load(call.v, b, h, keys, cols)
            dk_block, dv_block = torch.zeros_like(k), torch.zeros_like(v)
            for start_m in call.blocks(call.q.shape[2]):
                rows = torch.arange(start_m, start_m + BLOCK)
                q, g = load(call.q, b, h, rows, cols), load(do, b, h, rows, cols)
                row_lse = load(lse[..., None], b, h, rows, torch.zeros(1, dtype=torch.long))
                row_delta = load(delta[..., None], b, h, rows, torch.zeros(1, dtype=torch.long))
                s = call.scores(q, k, b, h, rows, keys)
                p = torch.exp(s - torch.where(row_lse == -INF, 0.0, row_lse))
                p = torch.where((rows < call.q.shape[2])[:, None], p, 0.0)
                dv_block = dv_block + p.to(call.q.dtype).float().T @ g
                ds = p * (g @ v.T - row_delta)
                if ds_all is not None:
                    store(ds_all, b, h, rows, keys, ds)
                ds = ds.to(call.q.dtype).float()
                dk_block = dk_block + ds.T @ q
                store(dq, b, h, rows, cols, load(dq, b, h, rows, cols) + ds @ k * call.scale)
            store(dk, b, h, keys, cols, dk_block * call.scale)
            store(dv, b, h, keys, cols, dv_block)
    return dq.to(call.q.dtype), dk, dv, ds_all


class _Function(torch.autograd.Function):
    """The forward and backward pair."""

    @staticmethod
    def forward(ctx: Any, *args: Any) -> tuple[Tensor, Tensor]:
        q, k, v, bias, causal, scale = args
        whole = None if bias is None else bias.expand(*q.shape[:3], k.shape[2])
        out, lse = forward(Call(q, k, v, whole, causal, scale))
        ctx.save_for_backward(q, k, v, bias, out, lse)
        ctx.options = (causal, scale)
        return out, lse

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        q, k, v, bias, out, lse, *_ = ctx.saved_tensors
        whole = None if bias is None else bias.expand(*q.shape[:3], k.shape[2])
        call = Call(q, k, v, whole, *ctx.options)
        dq, dk, dv, ds = backward(call, out, lse, *grads)
        dbias = None if ds is None else ds.sum_to_size(bias.shape).to(bias.dtype)
        return dq, dk, dv, dbias, None, None


@dataclass(frozen=True)
class Blocked(AttentionKernel):
    """FlashAttention-2 in plain torch."""

    linear_memory: ClassVar[bool] = True

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
        """Run the pair."""
        scale = q.shape[-1] ** -0.5 if scale is None else scale
        # Autocast would round the factors of the float32 products again, and q's dtype is kept.
        with torch.autocast(q.device.type, enabled=False):
            out, lse = _Function.apply(q, k, v, bias, causal, scale)  # type: ignore[no-untyped-call]
        return (out, lse) if return_lse else out

    def saved_bytes(self, shape: AttentionShape, element_size: int) -> int:
        """Return the bytes of the log-sum-exp."""
        return shape.batch * shape.heads * shape.queries * 4
