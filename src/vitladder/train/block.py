"""timm's block and attention, told where the tokens are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, cast

from timm.layers import Attention
from timm.models.vision_transformer import Block
from torch import Tensor, nn
from torch.func import functional_call

from vitladder.extend.attention import AttentionKernel
from vitladder.extend.position import Grid, PositionEncoding


class HeadShare(Protocol):
    """Which heads this device has, where several share each layer (tensor parallelism)."""

    @property
    def heads(self) -> slice:
        """The heads of this device."""

    def whole_gradients(self, parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return parameters of all heads; their gradients are the sums over the devices."""

    def of_heads(
        self, encoding: PositionEncoding, parameters: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """Return what the encoding turns this device's heads with."""


@dataclass(frozen=True)
class Places:
    """What attention must know of the tokens: the kernel for their grid, and their encoding."""

    kernel: AttentionKernel
    encoding: PositionEncoding
    grid: Grid
    parameters: Mapping[str, Tensor]
    bias: Tensor | None


class PlacedBlock(Block):  # type: ignore[misc]  # timm is untyped
    """timm's pre-norm block, which hands the places on to its attention."""

    compiled: Callable[..., Tensor] | None = None

    def forward(self, x: Tensor, places: Places, kept: Tensor | None = None) -> Tensor:
        """Return what `as_written` does; in training by its compiled code, where there is some."""
        if self.training and self.compiled is not None:
            return self.compiled(x, places, kept)
        return self.as_written(x, places, kept)

    def as_written(self, x: Tensor, places: Places, kept: Tensor | None = None) -> Tensor:
        """Return tokens [B, seq, width] after attention and perceptron.

        `kept` is drop-path's factor of each image on either branch, [2, B, 1, 1]; None drops none.
        """
        attended = self.ls1(self.attn(self.norm1(x), places))
        x = x + (attended if kept is None else attended * kept[0].to(attended.dtype))
        mixed = cast(Tensor, self.ls2(self.mlp(self.norm2(x))))
        return x + (mixed if kept is None else mixed * kept[1].to(mixed.dtype))


class PlacedAttention(Attention):  # type: ignore[misc]  # timm is untyped
    """timm's attention with its scores computed by a kernel; keys and values may share heads.

    With kv_heads below the heads, each head of keys and values serves a group of queries
    (Ainslie et al. 2023).
    """

    kv_heads: int
    layer: int
    head_share: HeadShare | None = None

    def __init__(self, dim: int, num_heads: int, **options: Any) -> None:
        """Build timm's attention, with narrower keys and values where heads share them."""
        super().__init__(dim, num_heads, **options)
        if self.kv_heads != num_heads:
            width = (num_heads + 2 * self.kv_heads) * self.head_dim
            self.qkv = nn.Linear(dim, width, bias=options.get("qkv_bias", False))

    def forward(self, x: Tensor, places: Places) -> Tensor:
        """Return the attention's output [B, seq, width]."""
        q, k, v = self._split(self.qkv(x))
        # Under autocast an RMS norm returns its weights' format; kernels take one format.
        q, k = self._normed(self.q_norm, q).to(v.dtype), self._normed(self.k_norm, k).to(v.dtype)
        if self.kv_heads != self.num_heads:
            share = self.num_heads // self.kv_heads
            k, v = k.repeat_interleave(share, dim=1), v.repeat_interleave(share, dim=1)
        q, k = places.encoding.rotate(q, k, places.grid, self.layer, **places.parameters)
        mixed = cast(Tensor, places.kernel(q, k, v, bias=places.bias, scale=self.scale))
        merged = self.norm(mixed.transpose(1, 2).flatten(2))
        if self.gate is not None:
            merged = merged * self.gate(x).sigmoid()
        return cast(Tensor, self.proj_drop(self.proj(merged)))

    def _normed(self, norm: nn.Module, heads: Tensor) -> Tensor:
        """Return queries or keys normalised; all devices that share this layer have one norm."""
        if self.head_share is None:
            return cast(Tensor, norm(heads))
        weights = self.head_share.whole_gradients(dict(norm.named_parameters()))
        return cast(Tensor, functional_call(norm, weights, (heads,)))

    def _split(self, packed: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return q [B, heads, seq, head_dim], and k and v [B, kv_heads, seq, head_dim]."""
        heads = packed.view(*packed.shape[:2], -1, self.head_dim).transpose(1, 2)
        last_key = self.num_heads + self.kv_heads
        return heads[:, : self.num_heads], heads[:, self.num_heads : last_key], heads[:, last_key:]


def attention_layer(kv_heads: int) -> type[nn.Module]:
    """Return timm's attention layer with so many heads of keys and values."""
    return type("PlacedAttention", (PlacedAttention,), {"kv_heads": kv_heads})
