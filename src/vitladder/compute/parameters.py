"""Parameters of a Vision Transformer as closed forms, in every convention."""

from __future__ import annotations

from dataclasses import dataclass, fields

from vitladder.compute.shape import Shape


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
    attention_biases: int
    mlp_biases: int
    other_biases: int

    @property
    def total(self) -> int:
        """Every learned number: `n_params`."""
        return sum(int(getattr(self, part.name)) for part in fields(self))

    @property
    def matmul(self) -> int:
        """The weights of matrix products, without their biases: `n_matmul`."""
        return self.patch_embed + self.attention + self.mlp + self.head

    @property
    def hidden_matrices(self) -> int:
        """The weights of the blocks' products."""
        return self.attention + self.mlp

    def nonembed(self, width: int) -> int:
        """Return all but the patch embedding, its bias, positions and prefix: `n_nonembed`."""
        return self.total - self.patch_embed - width - self.prefix - self.position


def parameters(shape: Shape, position: int, tensor: int = 1) -> Parameters:
    """Return the parameters by part; `position` is how many the position encoding learns.

    With `tensor` above 1, those on each of so many devices that share each layer: they have equal
    parts of the heads and of the hidden units, and the rest whole.
    """
    width, depth, hidden = shape.width, shape.depth, shape.hidden // tensor
    qkv = shape.qkv_width // tensor
    norms = (2 * depth + 1) * shape.norm_vectors * width
    if shape.qk_norm:
        norms += depth * 2 * shape.norm_vectors * shape.head_dim
    hidden_biases = (shape.mlp_products - 1) * hidden
    return Parameters(
        patch_embed=shape.patch**2 * shape.channels * width,
        prefix=shape.tokens.prefix * width,
        position=position,
        attention=depth * width * (qkv + width // tensor),
        mlp=depth * shape.mlp_products * width * hidden,
        norm=norms,
        layer_scale=depth * 2 * width if shape.layer_scale else 0,
        head=width * shape.classes,
        attention_biases=depth * (qkv + width),
        mlp_biases=depth * (hidden_biases + width),
        other_biases=width + shape.classes,
    )
