"""FLOPs of a Vision Transformer as closed forms, equal to torch's own counts.

1 multiply-add = 2 FLOPs. Only matrix products count (the patch embedding is one, as an im2col
product); norms, softmax, activations and the optimizer do not. A training budget is
C = 3 x forward x images; the exact backward is less by one patch embedding, since nobody needs the
gradient of the pixels.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from vitladder.compute.shape import Shape, attention_shape
from vitladder.errors import UserError
from vitladder.extend.attention import AttentionFlops, AttentionKernel


@dataclass(frozen=True)
class ForwardFlops:
    """Forward matmul FLOPs of one image, by part; the parts of all layers are summed."""

    patch_embed: int
    qkv: int
    scores: int
    values: int
    features: int
    projection: int
    mlp: int
    head: int

    @property
    def total(self) -> int:
        """All forward matmul FLOPs of one image."""
        return sum(int(getattr(self, part.name)) for part in fields(self))

    @property
    def backward(self) -> int:
        """The exact backward: two products for each forward one.

        But there is no gradient of pixels, nor of matrices that are not learned.
        """
        return 2 * self.total - self.patch_embed - self.features

    @property
    def training(self) -> int:
        """The convention of every budget: 3 x forward, no recomputation."""
        return 3 * self.total


def forward_flops(shape: Shape, attention: AttentionFlops) -> ForwardFlops:
    """Return the forward matmul FLOPs of one image; `attention` is one layer's, by its kernel."""
    seq, width = shape.tokens.seq, shape.width
    patches = shape.tokens.grid[0] * shape.tokens.grid[1]
    return ForwardFlops(
        patch_embed=2 * patches * shape.patch**2 * shape.channels * width,
        qkv=shape.depth * 2 * seq * width * shape.qkv_width,
        scores=shape.depth * attention.scores,
        values=shape.depth * attention.values,
        features=shape.depth * attention.features,
        projection=shape.depth * 2 * seq * width * width,
        mlp=shape.depth * 2 * shape.mlp_products * seq * width * shape.hidden,
        head=2 * width * shape.classes,
    )


def attention_flops(shape: Shape, kernel: AttentionKernel) -> AttentionFlops:
    """Return the forward matmul FLOPs of one layer's attention for one image."""
    found = kernel.flops(attention_shape(shape, batch=1))
    if not isinstance(found, AttentionFlops):
        raise UserError(
            f"flops of the kernel {type(kernel).__name__} gives a {type(found).__name__}; it must "
            f"give AttentionFlops(scores, values)"
        )
    return found
