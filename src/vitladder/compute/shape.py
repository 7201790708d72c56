"""Shape: the sizes of a Vision Transformer that every closed form starts from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from vitladder.config import ModelConfig, hidden_width
from vitladder.errors import UserError
from vitladder.extend.attention import AttentionShape
from vitladder.extend.position import TokenShape


@dataclass(frozen=True)
class Shape:
    """A Vision Transformer's sizes, all known; the multi-layer perceptron is `hidden` wide.

    `mlp_products` are the matrices of one perceptron, `activation` what lies between them;
    `norm_vectors` are the learned vectors of one normalisation. Queries have `heads` heads, keys
    and values `kv_heads`. `pool` is "token" or "avg".
    """

    width: int
    depth: int
    heads: int
    kv_heads: int
    hidden: int
    mlp_products: int
    norm_vectors: int
    layer_scale: bool
    patch: int
    channels: int
    classes: int
    tokens: TokenShape
    qk_norm: bool
    pool: str
    activation: str

    @cached_property
    def head_dim(self) -> int:
        """The width of one head."""
        return self.width // self.heads

    @cached_property
    def pixels(self) -> int:
        """The numbers of one image: all channels of all patches."""
        rows, columns = self.tokens.grid
        return self.channels * self.patch**2 * rows * columns

    @cached_property
    def qkv_width(self) -> int:
        """The width of a token's query, key and value together."""
        return (self.heads + 2 * self.kv_heads) * self.head_dim


def shape_of(model: ModelConfig) -> Shape:
    """Return the sizes of a model whose image_size, channels and classes are known.

    Raises UserError for heads that do not divide the width, patches that do not tile the image.
    """
    if model.image_size is None or model.channels is None or model.classes is None:
        raise UserError("model.image_size, model.channels and model.classes must be known here")
    if model.image_size % model.patch:
        raise UserError(
            f"model.patch={model.patch} does not divide the images' size {model.image_size}; "
            f"give a patch that does, or model.image_size=a multiple of {model.patch}"
        )
    grid = model.image_size // model.patch
    heads = model.heads if model.heads is not None else default_heads(model.width)
    prefix = model.registers + (1 if model.pool == "token" else 0)
    return Shape(
        width=model.width,
        depth=model.depth,
        heads=heads,
        kv_heads=model.kv_heads if model.kv_heads is not None else heads,
        hidden=hidden_width(model),
        mlp_products=3 if model.mlp == "swiglu" else 2,
        norm_vectors=1 if model.norm == "rmsnorm" else 2,
        layer_scale=model.layer_scale is not None,
        patch=model.patch,
        channels=model.channels,
        classes=model.classes,
        tokens=TokenShape(
            width=model.width,
            grid=(grid, grid),
            prefix=prefix,
            depth=model.depth,
            heads=heads,
            head_dim=model.width // heads,
        ),
        qk_norm=model.qk_norm,
        pool=model.pool,
        activation={"swiglu": "silu"}.get(model.mlp, model.mlp),
    )


def default_heads(width: int) -> int:
    """Return the number of heads when none is given: head_dim is 64, or the next that divides."""
    most = max(1, width // 64)
    return next(heads for heads in range(most, 0, -1) if width % heads == 0)


def attention_shape(shape: Shape, batch: int) -> AttentionShape:
    """Return the sizes of one layer's attention call for so many images."""
    tokens = shape.tokens
    return AttentionShape(
        batch=batch,
        heads=shape.heads,
        queries=tokens.seq,
        keys=tokens.seq,
        head_dim=shape.head_dim,
        grid=tokens.grid,
        prefix=tokens.prefix,
    )
