"""timm's VisionTransformer with our attention kernel and position encoding plugged in.

State-dict keys stay timm's, so its checkpoints load.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from timm.layers import RmsNorm, SwiGLU
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.nn.functional import pad

from vitladder.compute.plan import load_kernel
from vitladder.compute.shape import Shape, shape_of
from vitladder.config import Config, ModelConfig, hidden_width
from vitladder.errors import UserError
from vitladder.extend.attention import AttentionKernel
from vitladder.extend.position import Grid, PositionEncoding
from vitladder.train.block import HeadShare, PlacedBlock, Places, attention_layer
from vitladder.train.compiler import compiled, prepare_compiler
from vitladder.train.remat import Remat, remat_of
from vitladder.train.serving import checked_encoding


class PlacedTransformer(VisionTransformer):  # type: ignore[misc]  # timm is untyped
    """A VisionTransformer whose attention is a kernel's and whose places are an encoding's.

    The encoding's parameters are the model's own, under the names that the encoding gives them.
    Images may have another size than the trained one, and any aspect ratio.
    """

    def plug_in(self, kernel: AttentionKernel, encoding: PositionEncoding, shape: Shape) -> None:
        """Register the encoding's parameters; to be called once, after construction."""
        self.kernel = kernel
        self.encoding = encoding
        self.heads = shape.heads
        self.grid_of_training = shape.tokens.grid
        self.head_share: HeadShare | None = None
        self.remat: Remat | None = None
        self.drop_rates = [getattr(block.drop_path1, "drop_prob", 0.0) for block in self.blocks]
        self.position_names = []
        self._compiled: Callable[..., Tensor] | None = None
        for name, table in encoding.parameters(shape.tokens).items():
            if getattr(self, name, None) is not None:
                raise UserError(f"a position encoding cannot own '{name}': the model has one")
            setattr(self, name, nn.Parameter(table))
            self.position_names.append(name)
        for number, block in enumerate(self.blocks):
            block.attn.layer = number

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Compute blocks again in the backward, as timm's models do when they are told so."""
        self.remat = remat_of("block" if enable else "none")

    def compile_blocks(self, how: bool | str = True) -> None:
        """Let torch.compile make the code of all blocks together, for training.

        Together, since what lies between two products is not fused over the border of a block
        that is compiled alone. Names in the state dict stay. Code that would silently run
        uncompiled, because it was made too often, is an error instead.
        """
        prepare_compiler(self.drop_rates)
        self._compiled = compiled(self._through_blocks, how)

    def compile_each_block(self, how: bool | str = True) -> None:
        """Let torch.compile make the code of each block, for models that devices share.

        What gathers a block's weights stays outside of the code, which is the same for all.
        """
        prepare_compiler(self.drop_rates)
        for block in self.blocks:
            if isinstance(block, PlacedBlock):
                block.compiled = compiled(block.as_written, how)

    def forward(self, x: Tensor, kept: Tensor | None = None) -> Tensor:
        """Return logits [B, classes] of images [B, channels, rows, columns].

        `kept` are drop-path's factors for these images; None: drawn here, where it trains.
        """
        if kept is None and self.training:
            kept = self.draw_kept(len(x))
        logits: Tensor = self.forward_head(self.forward_features(x, kept))
        return logits

    def draw_kept(self, images: int) -> Tensor | None:
        """Return drop-path's factors [2 * depth, images, 1, 1]; None for a model without it.

        Drawn for a batch before its passes, they are the same in micro-batches, compiled or not.
        """
        if not any(self.drop_rates):
            return None
        device = next(self.parameters()).device
        return torch.cat([_kept(rate, images, device) for rate in self.drop_rates])

    def forward_features(self, x: Tensor, kept: Tensor | None = None) -> Tensor:
        """Return the normalised tokens [B, seq, width] of images [B, channels, rows, columns]."""
        tokens, grid = self.embedded(x)
        return self.through_blocks(tokens, grid, kept)

    def embedded(self, x: Tensor) -> tuple[Tensor, Grid]:
        """Return the tokens [B, seq, width] of images, before the first block, and their grid."""
        patches = self.patch_embed(x)
        # Under autocast the residual stream stays as wide as the weights, whatever the pooling.
        patches = patches.to(self.patch_embed.proj.weight.dtype)
        grid = (patches.shape[1], patches.shape[2])
        prefix = [token for token in (self.cls_token, self.reg_token) if token is not None]
        tokens = torch.cat(
            [*(token.expand(len(x), -1, -1) for token in prefix), patches.flatten(1, 2)], dim=1
        )
        del patches
        tokens = self.encoding.embed(tokens, grid, **self._position_parameters())
        return self.norm_pre(self.pos_drop(tokens)), grid

    def through_blocks(self, tokens: Tensor, grid: Grid, kept: Tensor | None = None) -> Tensor:
        """Return the tokens [B, seq, width] after this model's blocks and its last norm."""
        places = self._places(grid, tokens)
        if self.training and self._compiled is not None:
            return self._compiled(tokens, places, kept)
        # As written: the sizes of held-out batches would each be compiled anew.
        return self._through_blocks(tokens, places, kept)

    def _through_blocks(self, tokens: Tensor, places: Places, kept: Tensor | None) -> Tensor:
        """Return the normalised tokens after all blocks."""
        for number, block in enumerate(self.blocks):
            if not isinstance(block, PlacedBlock):
                continue  # another stage of a pipeline has this block
            own = None if kept is None else kept[2 * number : 2 * number + 2]
            if self.training and self.remat is not None:
                tokens = self.remat(block, tokens, places, own)
            else:
                tokens = block(tokens, places, own)
        normalised: Tensor = self.norm(tokens)
        return normalised

    def _position_parameters(self) -> dict[str, Tensor]:
        return {name: getattr(self, name) for name in self.position_names}

    def _places(self, grid: Grid, tokens: Tensor) -> Places:
        parameters = self._position_parameters()
        prefix = tokens.shape[1] - grid[0] * grid[1]
        if self.head_share is not None:
            parameters = self.head_share.whole_gradients(parameters)
        bias = self.encoding.bias(grid, self.heads, tokens.device, **parameters)
        if bias is not None and prefix:
            bias = pad(bias, (prefix, 0, prefix, 0))
        if self.head_share is not None:
            bias = None if bias is None else bias[:, self.head_share.heads]
            parameters = self.head_share.of_heads(self.encoding, parameters)
        kernel = self.kernel.placed(grid, prefix)
        return Places(kernel, self.encoding, grid, parameters, bias)

    def no_weight_decay(self) -> set[str]:
        """Return the names of tokens and positions, which weight decay must spare."""
        return {"cls_token", "reg_token", *self.position_names}


def build_model(config: Config) -> PlacedTransformer:
    """Return the model of a resolved config with fresh weights from torch's random state.

    Raises UserError where the position encoding cannot serve the shape.
    """
    shape = shape_of(config.model)
    encoding = checked_encoding(config, shape)
    model = PlacedTransformer(
        **timm_arguments(config.model),
        block_fn=PlacedBlock,
        attn_layer=attention_layer(shape.kv_heads),
        pos_embed="none",
        dynamic_img_size=True,
    )
    model.plug_in(load_kernel(config), encoding, shape)
    model.remat = remat_of(config.parallel.remat)
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
        "reg_tokens": model.registers,
        "embed_dim": shape.width,
        "depth": shape.depth,
        "num_heads": shape.heads,
        "mlp_ratio": model.mlp_ratio,
        "qk_norm": model.qk_norm,
        "init_values": model.layer_scale,
        "drop_path_rate": model.drop_path,
        "norm_layer": RmsNorm if model.norm == "rmsnorm" else None,
        **_mlp_arguments(model),
    }


def _kept(rate: float, images: int, device: torch.device) -> Tensor:
    """Return 0 or 1 / (1 - rate) for each image on two branches, [2, images, 1, 1].

    They are drawn as timm's DropPath does, one branch after the other (Huang et al. 2016).
    """
    branches = [torch.ones(images, 1, 1, dtype=torch.float32, device=device) for _ in range(2)]
    if rate > 0:
        for branch in branches:
            branch.bernoulli_(1 - rate)
            if rate < 1:
                branch.div_(1 - rate)
    return torch.stack(branches)


def _mlp_arguments(model: ModelConfig) -> dict[str, object]:
    if model.mlp == "relu":
        return {"act_layer": nn.ReLU}
    if model.mlp == "swiglu":
        return {"act_layer": nn.SiLU, "mlp_layer": _swiglu(hidden_width(model))}
    return {}


def _swiglu(hidden: int) -> type[nn.Module]:
    """Return timm's SwiGLU with this width inside, whatever timm makes of the ratio."""

    def start(self: Any, in_features: int, hidden_features: int, **options: Any) -> None:
        del hidden_features
        SwiGLU.__init__(self, in_features, hidden, **options)

    return type("PlacedSwiGLU", (SwiGLU,), {"__init__": start})
