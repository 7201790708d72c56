"""What a block keeps and what its backward computes again, by parallel.remat.

`block` keeps a block's input alone (Chen et al. 2016); `selective` the products of learned
matrices too (Korthikanti et al. 2022, section 5): all outputs of torch's mm and addmm, and what
devices that share a layer have reduced. torch stops computing again when all that the backward
needs is there.
"""

from __future__ import annotations

from collections.abc import Sequence

from vitladder.compute.activations import Layer
from vitladder.compute.duration import UPDATE
from vitladder.compute.part import Part
from vitladder.config import ModelConfig

_OUTSIDE = ("patch embedding", "head", UPDATE)
# Random features are one matrix for all heads, which torch multiplies with mm.
_PRODUCTS = ("qkv", "projection", "MLP in", "MLP out", "features")


def needs_last(model: ModelConfig) -> bool:
    """Say whether a block's backward needs its last product: where that is multiplied again."""
    return model.layer_scale is not None or model.drop_path > 0


def recomputed(parts: Sequence[Part], model: ModelConfig, remat: str) -> list[Part]:
    """Return the parts of a step whose forward the backward does again."""
    if remat == "none":
        return []
    kept = _PRODUCTS if remat == "selective" else () if needs_last(model) else ("MLP out",)
    return [part for part in parts if part.name not in (*_OUTSIDE, *kept)]


def kept_bytes(layer: Layer, batch: int, remat: str) -> int:
    """Return what one block keeps until it is computed again: its input, and products."""
    shape, numbers = layer.shape, layer.format
    tokens = batch * shape.tokens.seq
    stream = tokens * shape.width * numbers.weight
    if remat == "block":
        return stream
    split = shape.qkv_width + (shape.mlp_products - 1) * shape.hidden
    # Projection and perceptron: a device's part, and where there are several the sum.
    out = (2 if layer.tensor == 1 else 4) * shape.width
    outputs = tokens * (split // layer.tensor + out)
    call = layer.call(batch)
    features = layer.kernel.flops(call).features // (2 * call.head_dim)
    return stream + outputs * numbers.activation + features * max(4, numbers.activation)
