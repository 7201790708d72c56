"""Every learned tensor of a Vision Transformer by its sizes: what is split and sent one by one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

from vitladder.compute.shape import Shape

Sizes = tuple[int, ...]
QK_NORM = "norm of queries or keys"


@dataclass(frozen=True)
class Weight:
    """One tensor, or with `in_blocks` one in each block.

    `split` is the dimension by which devices share it that share a layer (Shoeybi et al. 2019,
    section 3); None where each has it whole.
    """

    name: str
    sizes: Sizes
    in_blocks: bool
    split: int | None = None

    def of(self, tensor: int) -> Sizes:
        """Return the sizes on each of `tensor` devices that share a layer."""
        return tuple(
            size // tensor if dimension == self.split else size
            for dimension, size in enumerate(self.sizes)
        )


def weights(shape: Shape, position: Mapping[str, Sizes]) -> list[Weight]:
    """Return all tensors; `position` has the sizes of those that the position encoding learns."""
    width, norm = shape.width, shape.norm_vectors
    found = [Weight(f"position {name}", sizes, False) for name, sizes in position.items()]
    tokens = shape.tokens.prefix - (shape.pool == "token")
    if shape.pool == "token":
        found.append(Weight("class token", (1, 1, width), False))
    if tokens:
        found.append(Weight("registers", (1, tokens, width), False))
    return [
        *found,
        Weight("patch embedding", (width, shape.channels, shape.patch, shape.patch), False),
        Weight("patch embedding bias", (width,), False),
        *(Weight("last norm", (width,), False) for _ in range(norm)),
        Weight("head", (shape.classes, width), False),
        Weight("head bias", (shape.classes,), False),
        *_of_block(shape),
    ]


def _of_block(shape: Shape) -> list[Weight]:
    width, hidden, qkv = shape.width, shape.hidden, shape.qkv_width
    vectors = [width] * (2 * shape.norm_vectors + (2 if shape.layer_scale else 0))
    into = range(shape.mlp_products - 1)
    heads = 2 * shape.norm_vectors if shape.qk_norm else 0
    return [
        *(Weight("norm or scale", (size,), True) for size in vectors),
        *(Weight(QK_NORM, (shape.head_dim,), True) for _ in range(heads)),
        Weight("qkv", (qkv, width), True, split=0),
        Weight("qkv bias", (qkv,), True, split=0),
        Weight("projection", (width, width), True, split=1),
        Weight("projection bias", (width,), True),
        *(Weight("MLP in", (hidden, width), True, split=0) for _ in into),
        *(Weight("MLP in bias", (hidden,), True, split=0) for _ in into),
        Weight("MLP out", (width, hidden), True, split=1),
        Weight("MLP out bias", (width,), True),
    ]


def numbers(found: list[Weight], depth: int, tensor: int = 1) -> int:
    """Return how many numbers the tensors have on each of `tensor` devices, in all blocks."""
    return sum(prod(w.of(tensor)) * (depth if w.in_blocks else 1) for w in found)
