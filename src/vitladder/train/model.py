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
from torch.utils.checkpoint import checkpoint

from vitladder.compute.kernels import attention_spec
from vitladder.compute.plan import load_encoding, load_kernel
from vitladder.compute.shape import Shape, shape_of
from vitladder.config import Config, ModelConfig, hidden_width
from vitladder.errors import UserError
from vitladder.extend.attention import AttentionKernel
from vitladder.extend.position import PositionEncoding
from vitladder.train.block import PlacedBlock, Places, attention_layer


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
        self.position_names = []
        self._compiled: Callable[..., Tensor] | None = None
        for name, table in encoding.parameters(shape.tokens).items():
            if getattr(self, name, None) is not None:
                raise UserError(f"a position encoding cannot own '{name}': the model has one")
            setattr(self, name, nn.Parameter(table))
            self.position_names.append(name)
        for number, block in enumerate(self.blocks):
            block.attn.layer = number

    def compile_blocks(self) -> None:
        """Let torch.compile make the code of all blocks together, for training.

        Together, since what lies between two products is not fused over the border of a block
        that is compiled alone. Names in the state dict stay. Code that would silently run
        uncompiled, because it was made too often, is an error instead.
        """
        # The code of runs before this one in the process counts against the limit.
        torch._dynamo.reset()
        torch._dynamo.config.fail_on_recompile_limit_hit = True
        self._compiled = torch.compile(self._through_blocks, dynamic=False)

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
        rates = [getattr(block.drop_path1, "drop_prob", 0.0) for block in self.blocks]
        if not any(rates):
            return None
        device = self.patch_embed.proj.weight.device
        return torch.cat([_kept(rate, images, device) for rate in rates])

    def forward_features(self, x: Tensor, kept: Tensor | None = None) -> Tensor:
        """Return the normalised tokens [B, seq, width] of images [B, channels, rows, columns]."""
        patches = self.patch_embed(x)
        # Under autocast the residual stream stays as wide as the weights, whatever the pooling.
        patches = patches.to(self.patch_embed.proj.weight.dtype)
        grid = (patches.shape[1], patches.shape[2])
        parameters = {name: getattr(self, name) for name in self.position_names}
        prefix = [token for token in (self.cls_token, self.reg_token) if token is not None]
        tokens = torch.cat(
            [*(token.expand(len(x), -1, -1) for token in prefix), patches.flatten(1, 2)], dim=1
        )
        del patches
        tokens = self.norm_pre(self.pos_drop(self.encoding.embed(tokens, grid, **parameters)))
        places = self._places(grid, tokens, parameters)
        if self.training and self._compiled is not None:
            return self._compiled(tokens, places, kept)
        # As written: the sizes of held-out batches would each be compiled anew.
        return self._through_blocks(tokens, places, kept)

    def _through_blocks(self, tokens: Tensor, places: Places, kept: Tensor | None) -> Tensor:
        """Return the normalised tokens after all blocks."""
        for number, block in enumerate(self.blocks):
            own = None if kept is None else kept[2 * number : 2 * number + 2]
            if self.training and self.grad_checkpointing:
                tokens = checkpoint(block, tokens, places, own, use_reentrant=False)
            else:
                tokens = block(tokens, places, own)
        normalised: Tensor = self.norm(tokens)
        return normalised

    def _places(
        self, grid: tuple[int, int], tokens: Tensor, parameters: dict[str, Tensor]
    ) -> Places:
        prefix = tokens.shape[1] - grid[0] * grid[1]
        bias = self.encoding.bias(grid, self.heads, tokens.device, **parameters)
        if bias is not None and prefix:
            bias = pad(bias, (prefix, 0, prefix, 0))
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
    encoding = _encoding(config, shape)
    model = PlacedTransformer(
        **timm_arguments(config.model),
        block_fn=PlacedBlock,
        attn_layer=attention_layer(shape.kv_heads),
        pos_embed="none",
        dynamic_img_size=True,
    )
    model.plug_in(load_kernel(config), encoding, shape)
    model.set_grad_checkpointing(config.parallel.remat == "block")
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


def check_plugins(config: Config, device: str, dtype: str) -> None:
    """Raise UserError where the kernel or the encoding cannot serve the run, saying why."""
    _encoding(config, shape_of(config.model))
    spec = attention_spec(config, device, dtype)
    reason = load_kernel(config).supports(spec)
    if reason is not None:
        asked = f" with position={config.position['name']}" if spec.bias else ""
        raise UserError(
            f"attention={config.attention['name']} cannot serve this run{asked}: {reason}"
        )


def attention_backend(config: Config, device: torch.device, dtype: torch.dtype) -> str | None:
    """Return which implementation the kernel runs for one image of this model; None if it has one.

    The kernel is called to find out, with a bias that needs a gradient where the model's does.
    """
    shape = shape_of(config.model)
    tokens, encoding = shape.tokens, _encoding(config, shape)
    size = (1, shape.heads, tokens.seq, shape.head_dim)
    q, k, v = (torch.zeros(size, dtype=dtype, device=device, requires_grad=True) for _ in range(3))
    learned = {
        name: nn.Parameter(table.to(device)) for name, table in encoding.parameters(tokens).items()
    }
    bias = encoding.bias(tokens.grid, shape.heads, device, **learned)
    if bias is not None:
        bias = pad(bias, (tokens.prefix, 0, tokens.prefix, 0))
    return load_kernel(config).placed(tokens.grid, tokens.prefix).ran_backend(q, k, v, bias=bias)


def _kept(rate: float, images: int, device: torch.device) -> Tensor:
    """Return 0 or 1 / (1 - rate) for each image on two branches, [2, images, 1, 1].

    They are drawn as timm's DropPath does, one branch after the other (Huang et al. 2016).
    """
    branches = [torch.ones(images, 1, 1, device=device) for _ in range(2)]
    if rate > 0:
        for branch in branches:
            branch.bernoulli_(1 - rate)
            if rate < 1:
                branch.div_(1 - rate)
    return torch.stack(branches)


def _encoding(config: Config, shape: Shape) -> PositionEncoding:
    encoding = load_encoding(config)
    reason = encoding.supports(shape.tokens)
    if reason is not None:
        raise UserError(f"position={config.position['name']} cannot serve this model: {reason}")
    return encoding


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
