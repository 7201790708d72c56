"""A run's last weights as a file that plain timm loads, which then needs no vitladder."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from timm.layers import SwiGLU
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor
from yaml import YAMLError

from vitladder.compose import from_hydra
from vitladder.compute.plan import load_kernel, position_tables
from vitladder.compute.shape import Shape, shape_of
from vitladder.config import Config
from vitladder.errors import UserError
from vitladder.extend.position import PositionEncoding, TokenShape
from vitladder.runs.atomic import replacing
from vitladder.train.averaging import KEY
from vitladder.train.checkpoint_files import fault_of, saved_checkpoints
from vitladder.train.full_state import names_by_group
from vitladder.train.model import timm_arguments
from vitladder.train.serving import checked_encoding

Weights = dict[str, Tensor]


def export(run: Path, file: Path) -> str:
    """Write a run's weights to a new file; return what it has, and how plain timm loads it.

    Raises UserError where there is nothing to write, or no place for it.
    """
    _check_target(file)
    saved, config = _checkpoint(run), _config(run)
    found = _averages(saved, config) if config.optim.ema else saved["state_dict"]
    weights = {
        name.removeprefix("model."): value.to(torch.float32, copy=True)
        for name, value in found.items()
    }
    try:
        arguments, notes = _for_timm(config, weights)
        with torch.device("meta"):
            plain = VisionTransformer(**arguments)
        plain.load_state_dict(weights, strict=True, assign=True)
    except (KeyError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{run}: its checkpoint is not of its config.yaml ({reason})") from error
    try:
        with replacing(file) as temporary:
            torch.save(weights, temporary)
    except (OSError, RuntimeError) as error:  # torch's own writer raises the latter
        raise UserError(f"{file} cannot be written ({error})") from error
    count = f"{sum(value.numel() for value in weights.values()):,} parameters"
    said = f"{file}: {count}, step {saved['global_step']}; timm: {_call(arguments)}"
    return "\n".join([said, *notes])


def _check_target(file: Path) -> None:
    if file.exists():
        raise UserError(f"{file} exists and is not overwritten; give another FILE, or remove it")
    if not file.parent.is_dir():
        raise UserError(f"there is no folder {file.parent} to write {file.name} in")
    if file.suffix == ".safetensors":
        raise UserError(f"{file}: weights are written as torch.save does; call it {file.stem}.pth")


def _checkpoint(run: Path) -> dict[str, Any]:
    """Return the run's last checkpoint."""
    if not run.is_dir():
        raise UserError(f"there is no folder {run}; RUN is a run's, as outputs/demo/0dcc8f10fce1")
    found = saved_checkpoints(run)
    if not found:
        raise UserError(f"{run} holds no checkpoint: the run has not saved a checkpoint yet")
    try:
        fault = fault_of(found[0])
    except FileNotFoundError as error:
        raise UserError(f"{run} is being trained: a newer checkpoint came; try again") from error
    if fault is not None:
        older = f"; without it, that of step {found[1].step} is exported" if found[1:] else ""
        raise UserError(f"{found[0].file} is damaged: {fault}{older}")
    saved: dict[str, Any] = torch.load(
        found[0].file, map_location="cpu", weights_only=True, mmap=True
    )
    return saved


def _averages(saved: dict[str, Any], config: Config) -> Weights:
    """Return the average of the weights over the steps, by the names of the weights."""
    state = saved["optimizer_states"][0]["state"]
    names = [name for group in names_by_group(config) for name in group]
    if not all(KEY in values for values in state.values()):
        raise UserError("the run has taken no step yet, so that there is no average (optim.ema)")
    return {f"model.{name}": state[number][KEY] for number, name in enumerate(names)}


def _config(run: Path) -> Config:
    """Return the run's resolved config, which is written before its first step."""
    file = run / "config.yaml"
    try:
        composed = OmegaConf.load(file)
    except (OSError, ValueError, YAMLError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{file}, the run's config, cannot be read ({reason})") from error
    if not isinstance(composed, DictConfig):
        raise UserError(f"{file} is not the config of a run")
    try:
        return from_hydra(composed)
    except UserError as error:
        raise UserError(f"{file}: {error}") from error


def _for_timm(config: Config, weights: Weights) -> tuple[dict[str, object], list[str]]:
    """Make the weights those of timm's class; return its arguments, and what else to know."""
    shape, notes = shape_of(config.model), []
    arguments = {key: value for key, value in timm_arguments(config.model).items() if value}
    arguments["class_token"] = config.model.pool == "token"
    if config.model.norm == "rmsnorm":
        arguments["norm_layer"] = "rmsnorm"
    if shape.activation != "gelu":
        arguments["act_layer"] = shape.activation
    if shape.mlp_products == 3:
        arguments |= {"mlp_layer": SwiGLU, "mlp_ratio": _ratio(shape)}
        notes.append(f"SwiGLU is timm.layers.SwiGLU, here {shape.hidden} wide inside")
    if shape.kv_heads < shape.heads:
        _repeat_shared_heads(weights, shape)
        notes.append(
            f"model.kv_heads={shape.kv_heads} of {shape.heads} heads: timm shares none, so each is "
            f"written for every head that it serves"
        )
    kernel = load_kernel(config).placed(shape.tokens.grid, shape.tokens.prefix)
    seen = kernel.sees(shape.tokens.seq, shape.tokens.seq)
    if not kernel.exact or (seen is not None and not bool(seen.all())):
        notes.append(_ours("attention", config.attention["name"]))
    if config.optim.ema is not None:
        notes.append(
            f"these are averages of the weights over steps (optim.ema={config.optim.ema:g})"
        )
    return arguments, notes + _place(config, shape, weights, arguments)


def _place(
    config: Config, shape: Shape, weights: Weights, arguments: dict[str, object]
) -> list[str]:
    """Let pos_embed be what the encoding adds to the tokens, if it does no more; else say so."""
    name, encoding = config.position["name"], checked_encoding(config, shape)
    own = {key: weights.pop(key) for key in position_tables(config, shape)}
    embeds = type(encoding).embed is not PositionEncoding.embed
    more = encoding.rotates or encoding.biases
    if embeds and not more and (table := _added(encoding, shape.tokens, own)) is not None:
        weights["pos_embed"] = table
        table_of = f"pos_embed is the table of position={name}, {table.numel():,} fixed numbers"
        return [] if own else [table_of]
    arguments["pos_embed"] = "none"
    left = f"; left out: {', '.join(own)}" if own else ""
    return [_ours("position", name) + left] if embeds or more else []


def _added(encoding: PositionEncoding, shape: TokenShape, own: Weights) -> Tensor | None:
    """Return what `embed` adds to any tokens, [1, seq, width]; None where it does not add."""
    tokens = torch.randn(2, shape.seq, shape.width, generator=torch.Generator().manual_seed(0))
    table = encoding.embed(torch.zeros(1, shape.seq, shape.width), shape.grid, **own)
    placed = encoding.embed(tokens, shape.grid, **own)
    return table if torch.allclose(placed, tokens + table, atol=1e-6) else None


def _repeat_shared_heads(weights: Weights, shape: Shape) -> None:
    """Give every head of queries keys and values of its own, which are equal within a group."""
    sizes = [shape.heads, shape.kv_heads, shape.kv_heads]
    q, *shared = torch.split(torch.arange(sum(sizes)), sizes)
    share = shape.heads // shape.kv_heads
    order = torch.cat([q, *(heads.repeat_interleave(share) for heads in shared)])
    for name, packed in weights.items():
        if ".attn.qkv." in name:
            heads = packed.view(-1, shape.head_dim, *packed.shape[1:])
            weights[name] = heads[order].flatten(0, 1)


def _ratio(shape: Shape) -> float:
    """Return the mlp_ratio of which timm makes this width inside: int(width * ratio)."""
    ratio = shape.hidden / shape.width
    return ratio if int(shape.width * ratio) == shape.hidden else math.nextafter(ratio, math.inf)


def _ours(kind: str, name: str) -> str:
    return f"{kind}={name} is computed by vitladder and is not in timm's model: its logits differ"


def _call(arguments: dict[str, object]) -> str:
    """Return timm's constructor as Python writes it."""
    written = {k: v.__name__ if isinstance(v, type) else repr(v) for k, v in arguments.items()}
    return f"VisionTransformer({', '.join(f'{k}={v}' for k, v in written.items())})"
