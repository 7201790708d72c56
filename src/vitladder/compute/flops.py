"""Parameters and FLOPs of a Vision Transformer as closed forms, equal to torch's own counts.

1 multiply-add = 2 FLOPs. Only matrix products count (the patch embedding is one, as an im2col
product); norms, softmax, activations and the optimizer do not. A training budget is
C = 3 x forward x images; the exact backward is less by one patch embedding, since nobody needs the
gradient of the pixels.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property

from vitladder.config import ModelConfig, hidden_width
from vitladder.errors import UserError
from vitladder.extend.attention import AttentionFlops, AttentionKernel, AttentionShape
from vitladder.extend.position import TokenShape


@dataclass(frozen=True)
class Shape:
    """A Vision Transformer's sizes, all known; the multi-layer perceptron is `hidden` wide.

    `mlp_products` are the matrices of one perceptron, `norm_vectors` the learned vectors of one
    normalisation. Queries have `heads` heads, keys and values `kv_heads`.
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

    @cached_property
    def head_dim(self) -> int:
        """The width of one head."""
        return self.width // self.heads

    @cached_property
    def qkv_width(self) -> int:
        """The width of a token's query, key and value together."""
        return (self.heads + 2 * self.kv_heads) * self.head_dim


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


@dataclass(frozen=True)
class Parameters:
    """Parameters by part; the parts of all layers are summed."""

    patch_embed: int
    prefix: int
    position: int
    attention: int
    mlp: int
    norm: int
    layer_scale: int
    head: int
    biases: int

    @property
    def total(self) -> int:
        """Every learned number: `n_params`."""
        return sum(int(getattr(self, part.name)) for part in fields(self))

    @property
    def matmul(self) -> int:
        """The weights of matrix products, without their biases: `n_matmul`."""
        return self.patch_embed + self.attention + self.mlp + self.head

    def nonembed(self, width: int) -> int:
        """Return all but the patch embedding, its bias, positions and prefix: `n_nonembed`."""
        return self.total - self.patch_embed - width - self.prefix - self.position


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
    )


def default_heads(width: int) -> int:
    """Return the number of heads when none is given: head_dim is 64, or the next that divides."""
    most = max(1, width // 64)
    return next(heads for heads in range(most, 0, -1) if width % heads == 0)


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
    tokens = shape.tokens
    return kernel.flops(
        AttentionShape(
            batch=1,
            heads=shape.heads,
            queries=tokens.seq,
            keys=tokens.seq,
            head_dim=shape.head_dim,
            grid=tokens.grid,
            prefix=tokens.prefix,
        )
    )


def parameters(shape: Shape, position: int) -> Parameters:
    """Return the parameters by part; `position` is how many the position encoding learns."""
    width, depth, hidden = shape.width, shape.depth, shape.hidden
    norms = (2 * depth + 1) * shape.norm_vectors * width
    if shape.qk_norm:
        norms += depth * 2 * shape.norm_vectors * shape.head_dim
    hidden_biases = (shape.mlp_products - 1) * hidden
    return Parameters(
        patch_embed=shape.patch**2 * shape.channels * width,
        prefix=shape.tokens.prefix * width,
        position=position,
        attention=depth * width * (shape.qkv_width + width),
        mlp=depth * shape.mlp_products * width * hidden,
        norm=norms,
        layer_scale=depth * 2 * width if shape.layer_scale else 0,
        head=width * shape.classes,
        biases=width + depth * (shape.qkv_width + width + hidden_biases + width) + shape.classes,
    )
