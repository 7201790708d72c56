"""What no run could be: a Config is refused in one line that says what would be right."""

from __future__ import annotations

import math
import re
from dataclasses import asdict, replace

from vitladder.config import ComputeConfig, Config, ModelConfig, OptimConfig, flatten, hidden_width
from vitladder.errors import UserError, shown, unknown
from vitladder.layout import KINDS
from vitladder.parallel_rules import check_parallel

DEFAULT_FLOPS = 1e10
# The seed of a step is made of the run's seed and the step, 31 and 32 bits of torch's 64.
LARGEST_STEPS = 2**32 - 1

_PLUGINS = ("attention", "position")
_LARGEST_COUNT = 2**31 - 1
_AT_MOST = {
    # More than any node has cores: torch crashes where the system refuses it so many threads.
    "threads": 1024,
}

_CHOICES: dict[str, tuple[str, ...]] = {
    "on_error": ("continue", "stop"),
    "model.pool": ("token", "avg"),
    "model.norm": ("layernorm", "rmsnorm"),
    "model.mlp": ("gelu", "relu", "swiglu"),
    "data.name": ("digits", "parquet", "imagefolder", "hub"),
    "data.on_error": ("raise", "skip"),
    "schedule.name": ("cosine", "wsd", "rsqrt"),
    "precision.name": ("fp32", "tf32", "bf16", "bf16_true", "fp16", "fp64"),
    "parallel.name": KINDS,
    "parallel.device": ("auto", "cpu", "cuda", "mps"),
    "parallel.remat": ("none", "block", "selective"),
    "parallel.compress": ("none", "fp16", "bf16", "powersgd"),
    "logger.name": ("wandb", "wandb_online", "csv"),
}

_POSITIVE = [
    "model.width",
    "model.depth",
    "model.heads",
    "model.kv_heads",
    "model.layer_scale",
    "model.mlp_ratio",
    "model.patch",
    "model.image_size",
    "model.channels",
    "model.classes",
    "data.batch_size",
    "data.val_batch_size",
    "data.cache_gib",
    "optim.lr",
    "optim.base_width",
    "optim.clip",
    "compute.flops",
    "compute.images",
    "compute.steps",
    "ladder.relative",
    "ladder.n_params",
    "ladder.flops",
    "ladder.aspect",
    "ladder.min_depth",
    "ladder.width_step",
    "parallel.micro_batch",
    "parallel.devices",
    "parallel.nodes",
    "parallel.tensor",
    "parallel.compress_rank",
    "price",
    "threads",
    "log_every",
    "evaluations",
    "checkpoint_seconds",
]

_NOT_NEGATIVE = [
    "model.registers",
    "optim.weight_decay",
    "parallel.compress_from",
    "data.augment.crop",
    "data.augment.randaugment",
    "data.augment.mixup",
    "data.augment.cutmix",
    "seed",
]

_FRACTIONS = "model.drop_path data.val_fraction schedule.warmup schedule.cooldown schedule.final"

# The optimizers of timm that keep three moving averages; all others keep two or fewer.
_THREE_BETAS = ("adan", "ademamix")


def validate(config: Config) -> Config:
    """Return the config with its length settled: one of the three, whole counts as integers.

    Raises UserError, in one line, for a value that no run could have.
    """
    flat = flatten(config)
    for key, choices in _CHOICES.items():
        if flat[key] not in choices:
            raise unknown(f"{key} called", str(flat[key]), choices)
    for key, value in flat.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise UserError(f"{key}={value:g} is impossible; it must be a finite number")
    for key in _POSITIVE:
        if flat[key] is not None and flat[key] <= 0:
            raise UserError(f"{key}={flat[key]:g} is impossible; it must be a number above 0")
    for key in _NOT_NEGATIVE:
        if flat[key] < 0:
            raise UserError(f"{key}={flat[key]:g} is impossible; it must be 0 or more")
    for key, value in flat.items():
        most = _AT_MOST.get(key, _LARGEST_COUNT)
        if isinstance(value, int) and not key.startswith("compute.") and value > most:
            raise UserError(f"{key}={shown(value)} is too large; it must be at most {most}")
    for key in _FRACTIONS.split():
        if not 0 <= flat[key] <= 1:
            raise UserError(f"{key}={flat[key]:g} is impossible; it is a fraction from 0 to 1")
    if config.compile not in (False, True, "max-autotune"):
        raise UserError(f"compile={config.compile} is unknown; it is true, false or max-autotune")
    _check_shape(config.model)
    _check_betas(config.optim)
    _check_average(config)
    _check_names(config)
    _check_together(config)
    return replace(config, compute=_one_length(config.compute))


def _check_shape(model: ModelConfig) -> None:
    if model.channels not in (None, 1, 3):
        raise UserError(f"model.channels={model.channels} is impossible; it is 1 (grey) or 3 (RGB)")
    if model.heads is not None and model.width % model.heads:
        raise UserError(
            f"model.width={model.width} is not a multiple of model.heads={model.heads}; "
            f"every head needs the same share of the width"
        )
    if model.image_size is not None and model.image_size % model.patch:
        raise UserError(
            f"model.patch={model.patch} does not divide model.image_size={model.image_size}; "
            f"patches must tile the image"
        )
    if model.heads is not None and model.kv_heads is not None and model.heads % model.kv_heads:
        raise UserError(
            f"model.kv_heads={model.kv_heads} does not divide model.heads={model.heads}; every "
            f"head of keys and values serves a group of queries of the same size"
        )
    if hidden_width(model) < 1:
        raise UserError(
            f"model.mlp_ratio={model.mlp_ratio:g} is impossible; model.width={model.width} times "
            f"it is the width of the hidden layer, which must be 1 or more"
        )


def _check_betas(optim: OptimConfig) -> None:
    three = any(name in optim.name for name in _THREE_BETAS)
    if len(optim.betas) != (3 if three else 2) or not all(0 <= beta < 1 for beta in optim.betas):
        raise UserError(
            f"optim.betas={optim.betas} is impossible; optim.name={optim.name} needs "
            f"{'three' if three else 'two'} numbers, each at least 0 and below 1"
        )


def _check_average(config: Config) -> None:
    decay = config.optim.ema
    if decay is None:
        return
    if not 0 < decay < 1:
        raise UserError(f"optim.ema={decay:g} is impossible; it is above 0 and below 1, as 0.999")
    if config.precision.name == "bf16_true":
        raise UserError(
            "optim.ema is lost in precision=bf16_true, whose weights round its small steps away; "
            "use precision=bf16"
        )


def _check_names(config: Config) -> None:
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}", config.study):
        raise UserError(
            f"study={shown(config.study)} is not a folder name; use letters, digits, '.', '-' "
            f"and '_', at most 100, the first a letter or digit"
        )
    for key, value in flatten(config).items():
        if isinstance(value, str) and not value.strip() and key.partition(".")[0] not in _PLUGINS:
            raise UserError(f"{key}={value!r} is empty; give a text, or leave it out")
    if config.data.name == "digits" and config.data.path is not None:
        raise UserError(
            f"data.path={shown(config.data.path)} is not of data=digits, which needs none; give "
            f"data=parquet, imagefolder or hub with it"
        )
    if config.data.name in ("parquet", "imagefolder", "hub") and not config.data.path:
        raise UserError(
            f"data={config.data.name} needs data.path=...; it says where the images are"
        )


def _check_together(config: Config) -> None:
    given = [f"compute.{key}" for key, value in asdict(config.compute).items() if value is not None]
    if len(given) > 1:
        raise UserError(
            f"{' and '.join(given)} are both given; a run's length is set by exactly one of "
            f"compute.flops, compute.images, compute.steps"
        )
    if config.ladder.relative is not None and given and config.compute.flops is None:
        raise UserError("ladder.relative sizes the model to a budget; give compute.flops with it")
    check_parallel(config)
    if config.schedule.warmup + config.schedule.cooldown > 1:
        raise UserError("schedule.warmup and schedule.cooldown together exceed the run (above 1)")


def _one_length(compute: ComputeConfig) -> ComputeConfig:
    """Return the length with counts as integers, and DEFAULT_FLOPS where none is given."""
    if compute.flops is None and compute.images is None and compute.steps is None:
        return replace(compute, flops=DEFAULT_FLOPS)
    for key in ("images", "steps"):
        value = getattr(compute, key)
        if value is not None and value != int(value):
            raise UserError(f"compute.{key}={value:g} must be a whole number")
    return replace(
        compute,
        images=None if compute.images is None else int(compute.images),
        steps=None if compute.steps is None else int(compute.steps),
    )
