"""The typed Config of one run: its schema, what is impossible, and the key that names the run."""

from __future__ import annotations

import hashlib
import json
import math
import re
from dataclasses import asdict, dataclass, replace
from typing import Any

from vitladder.errors import UserError, unknown


@dataclass
class ModelConfig:
    """The shape of the Vision Transformer; image_size, channels and classes follow the data."""

    width: int
    depth: int
    heads: int | None
    mlp_ratio: float
    patch: int
    image_size: int | None
    channels: int | None
    classes: int | None
    pool: str
    qk_norm: bool
    drop_path: float


@dataclass
class AugmentConfig:
    """Changes made to training images only; zero or false switches each one off."""

    crop: int
    flip: bool
    randaugment: int
    mixup: float
    cutmix: float


@dataclass
class DataConfig:
    """Where the images come from, how they are split, batched and changed."""

    name: str
    path: str | None
    train_split: str | None
    val_split: str | None
    image_column: str | None
    label_column: str | None
    val_fraction: float
    streaming: bool
    batch_size: int
    val_batch_size: int
    augment: AugmentConfig
    cache: str | None
    cache_gib: float


@dataclass
class OptimConfig:
    """The optimizer of timm's factory, and the rule that moves the learning rate with the size."""

    name: str
    lr: float
    base_width: int
    width_power: float
    depth_power: float
    weight_decay: float
    betas: list[float]
    clip: float


@dataclass
class ScheduleConfig:
    """The learning rate over the run; warmup and cooldown are fractions of its steps."""

    name: str
    warmup: float
    cooldown: float
    final: float


@dataclass
class PrecisionConfig:
    """The number format of the training arithmetic."""

    name: str


@dataclass
class ParallelConfig:
    """On what the run trains."""

    name: str
    device: str
    devices: int
    nodes: int


@dataclass
class ComputeConfig:
    """How much is trained: exactly one of training FLOPs, images seen, or optimizer steps."""

    flops: float | None
    images: float | None
    steps: float | None


@dataclass
class LadderConfig:
    """Chooses width and depth around a budget's expected optimum, when `relative` is given.

    The aim is N = relative * n_params * (compute.flops / flops)**exponent.
    """

    relative: float | None
    n_params: float
    flops: float
    exponent: float
    aspect: int
    min_depth: int
    width_step: int


@dataclass
class LoggerConfig:
    """Where metrics go besides metrics.csv."""

    name: str
    project: str
    entity: str | None


@dataclass
class Config:
    """Everything that one run is made from."""

    study: str
    outputs: str
    seed: int
    threads: int | None
    on_error: str
    log_every: int
    evaluations: int
    checkpoint_seconds: float
    model: ModelConfig
    attention: dict[str, Any]
    position: dict[str, Any]
    data: DataConfig
    optim: OptimConfig
    schedule: ScheduleConfig
    precision: PrecisionConfig
    parallel: ParallelConfig
    compute: ComputeConfig
    ladder: LadderConfig
    logger: LoggerConfig


@dataclass(frozen=True)
class DataShape:
    """What a data set says about itself: counts of images, and the shape of one."""

    train_images: int
    val_images: int
    image_size: int
    channels: int
    classes: int


DEFAULT_FLOPS = 1e10
# The seed of a step is made of the run's seed and the step, 31 and 32 bits of torch's 64.
_LARGEST_SEED = 2**31 - 1

_CHOICES: dict[str, tuple[str, ...]] = {
    "on_error": ("continue", "stop"),
    "model.pool": ("token", "avg"),
    "data.name": ("digits", "parquet", "imagefolder", "hub"),
    "schedule.name": ("cosine", "wsd", "rsqrt"),
    "precision.name": ("fp32", "bf16"),
    "parallel.name": ("single",),
    "parallel.device": ("auto", "cpu", "cuda", "mps"),
    "logger.name": ("wandb", "wandb_online", "csv"),
}

_POSITIVE = [
    "model.width",
    "model.depth",
    "model.heads",
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
    "threads",
    "log_every",
    "evaluations",
    "checkpoint_seconds",
]

_NOT_NEGATIVE = [
    "optim.weight_decay",
    "data.augment.crop",
    "data.augment.randaugment",
    "data.augment.mixup",
    "data.augment.cutmix",
    "seed",
]

_FRACTIONS = "model.drop_path data.val_fraction schedule.warmup schedule.cooldown schedule.final"

# What changes no result: the same run on another disk, device or screen has the same key.
_NOT_SCIENTIFIC = [
    "study",
    "outputs",
    "threads",
    "on_error",
    "log_every",
    "evaluations",
    "checkpoint_seconds",
    "logger",
    "ladder",
    "parallel",
    "data.path",
    "data.cache",
    "data.cache_gib",
    "data.val_batch_size",
]


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
    for key in _FRACTIONS.split():
        if not 0 <= flat[key] <= 1:
            raise UserError(f"{key}={flat[key]:g} is impossible; it is a fraction from 0 to 1")
    _check_shape(config.model)
    _check_names(config)
    _check_together(config)
    return replace(config, compute=_one_length(config.compute))


def flatten(config: Config) -> dict[str, Any]:
    """Return the config as one level of dotted keys."""
    flat: dict[str, Any] = {}

    def walk(prefix: str, node: dict[str, Any]) -> None:
        for key, value in node.items():
            if isinstance(value, dict):
                walk(f"{prefix}{key}.", value)
            else:
                flat[prefix + key] = value

    walk("", asdict(config))
    return flat


def run_key(config: Config, data: str) -> str:
    """Return the 12 hexadecimal digits that name a run: a hash of its scientific settings.

    The model must be resolved (image_size, channels and classes known); `data` is the fingerprint
    of the images and labels. Paths, loggers, devices and what only shows or stores results do not
    count.
    """
    science = {
        key: value
        for key, value in flatten(config).items()
        if key not in _NOT_SCIENTIFIC and key.split(".")[0] not in _NOT_SCIENTIFIC
    }
    text = json.dumps([science, data], sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


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


def _check_names(config: Config) -> None:
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]*", config.study):
        raise UserError(
            f"study='{config.study}' is not a folder name; use letters, digits, '.', '-' and '_'"
        )
    if config.data.name in ("parquet", "imagefolder", "hub") and not config.data.path:
        raise UserError(
            f"data={config.data.name} needs data.path=...; it says where the images are"
        )


def _check_together(config: Config) -> None:
    if config.seed > _LARGEST_SEED:
        raise UserError(f"seed={config.seed} is too large; it goes from 0 to {_LARGEST_SEED}")
    given = [f"compute.{key}" for key, value in asdict(config.compute).items() if value is not None]
    if len(given) > 1:
        raise UserError(
            f"{' and '.join(given)} are both given; a run's length is set by exactly one of "
            f"compute.flops, compute.images, compute.steps"
        )
    if config.ladder.relative is not None and given and config.compute.flops is None:
        raise UserError("ladder.relative sizes the model to a budget; give compute.flops with it")
    if config.parallel.devices != 1 or config.parallel.nodes != 1:
        raise UserError("parallel=single trains on one device of one node; leave both at 1")
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
