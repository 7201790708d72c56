"""The typed Config of one run: its schema."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass
class ModelConfig:
    """The shape of the Vision Transformer; image_size, channels and classes follow the data."""

    width: int
    depth: int
    heads: int | None
    kv_heads: int | None
    mlp_ratio: float
    mlp: str
    mlp_two_thirds: bool
    norm: str
    layer_scale: float | None
    registers: int
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
    on_error: str
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
    ema: float | None


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
    """On how many devices the run trains, what they share, and how a step fits their memory."""

    name: str
    device: str
    devices: int
    nodes: int
    tensor: int | None
    micro_batch: int | None
    remat: str
    compress: str
    compress_rank: int
    compress_from: int


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
    compile: bool | str
    keep_memory: bool
    tune: bool
    hardware: str | None
    price: float | None
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


def hidden_width(model: ModelConfig) -> int:
    """Return the width inside of the perceptron: mlp_ratio times the model's.

    SwiGLU has three matrices; with mlp_two_thirds it is 2/3 as wide, so that it has the parameters
    of the usual two (Shazeer 2020, section 2).
    """
    if model.mlp == "swiglu" and model.mlp_two_thirds:
        return int(2 * model.width * model.mlp_ratio / 3)
    return int(model.width * model.mlp_ratio)


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
