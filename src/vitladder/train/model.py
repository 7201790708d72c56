"""timm's VisionTransformer with our attention kernel and position encoding plugged in.

State-dict keys stay timm's, so its checkpoints load.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from timm.layers import Attention
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from vitladder.compute.flops import Shape, shape_of
from vitladder.config import Config, ModelConfig
from vitladder.errors import UserError
from vitladder.extend import registry
from vitladder.extend.attention import AttentionKernel, AttentionSpec
from vitladder.extend.position import PositionEncoding


class PositionedTransformer(VisionTransformer):  # type: ignore[misc]  # timm is untyped
    """A VisionTransformer whose places come from a PositionEncoding.

    The encoding's parameters are the model's own, under the names that the encoding gives them.
    """

    def plug_in(self, encoding: PositionEncoding, shape: Shape) -> None:
        """Register the encoding's parameters; to be called once, after construction."""
        self.encoding = encoding
        self.grid = shape.tokens.grid
        self.position_names = []
        for name, table in encoding.parameters(shape.tokens).items():
            setattr(self, name, nn.Parameter(table))
            self.position_names.append(name)

    def _pos_embed(self, x: Tensor) -> Tensor:
        prefix = [] if self.cls_token is None else [self.cls_token.expand(x.shape[0], -1, -1)]
        tokens = torch.cat([*prefix, x], dim=1) if prefix else x
        parameters = {name: getattr(self, name) for name in self.position_names}
        return self.encoding.embed(tokens, self.grid, **parameters)

    def no_weight_decay(self) -> set[str]:
        """Return the names of tokens and positions, which weight decay must spare."""
        return {"cls_token", *self.position_names}


def build_model(config: Config) -> PositionedTransformer:
    """Return the model of a resolved config with fresh weights from torch's random state.

    Raises UserError where the position encoding cannot serve the shape.
    """
    shape = shape_of(config.model)
    encoding = registry.load("position", config.position["name"], **_options(config.position))
    reason = encoding.supports(shape.tokens)
    if reason is not None:
        raise UserError(f"position={config.position['name']} cannot serve this model: {reason}")
    kernel = registry.load("attention", config.attention["name"], **_options(config.attention))
    model = PositionedTransformer(
        **timm_arguments(config.model), attn_layer=attention_layer(kernel), pos_embed="none"
    )
    model.plug_in(encoding, shape)
    return model


def timm_arguments(model: ModelConfig) -> dict[str, object]:
    """Return the arguments that make timm's own VisionTransformer of this shape."""
    shape = shape_of(model)
    return {
        "img_size": model.image_size,
        "patch_size": shape.patch,
        "in_chans": shape.channels,
        "num_classes": shape.classes,
        "global_pool": model.pool,
        "class_token": model.pool == "token",
        "embed_dim": shape.width,
        "depth": shape.depth,
        "num_heads": shape.heads,
        "mlp_ratio": model.mlp_ratio,
        "qk_norm": model.qk_norm,
        "drop_path_rate": model.drop_path,
    }


def attention_layer(kernel: AttentionKernel) -> type[nn.Module]:
    """Return timm's Attention with its scores computed by the kernel."""

    def forward(
        self: Attention, x: Tensor, attn_mask: Tensor | None = None, is_causal: bool = False
    ) -> Tensor:
        batch, seq, _ = x.shape
        packed = self.qkv(x).reshape(batch, seq, 3, self.num_heads, self.head_dim)
        q, k, v = packed.permute(2, 0, 3, 1, 4).unbind(0)
        q, k = self.q_norm(q), self.k_norm(k)
        mixed = kernel(q, k, v, bias=attn_mask, causal=is_causal, scale=self.scale)
        merged = cast(Tensor, mixed).transpose(1, 2).reshape(batch, seq, self.attn_dim)
        return cast(Tensor, self.proj_drop(self.proj(self.norm(merged))))

    layer: Callable[..., type[nn.Module]] = type
    return layer("PluggedAttention", (Attention,), {"forward": forward})


def check_plugins(config: Config, device: str, dtype: str) -> None:
    """Raise UserError where the kernel or the encoding cannot serve the run, saying why."""
    shape = shape_of(config.model)
    kernel = registry.load("attention", config.attention["name"], **_options(config.attention))
    reason = kernel.supports(AttentionSpec(device=device, dtype=dtype, head_dim=shape.head_dim))
    if reason is not None:
        raise UserError(f"attention={config.attention['name']} cannot serve this run: {reason}")
    encoding = registry.load("position", config.position["name"], **_options(config.position))
    reason = encoding.supports(shape.tokens)
    if reason is not None:
        raise UserError(f"position={config.position['name']} cannot serve this model: {reason}")


def _options(node: dict[str, object]) -> dict[str, object]:
    return {key: value for key, value in node.items() if key != "name"}
