"""Plan: what a run will be and cost, known before it starts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import Any

from vitladder.compute.flops import attention_flops, forward_flops
from vitladder.compute.parameters import parameters
from vitladder.compute.shape import Shape, shape_of
from vitladder.compute.size import sized
from vitladder.config import Config, DataShape
from vitladder.errors import UserError, shown
from vitladder.extend import registry
from vitladder.extend.attention import AttentionKernel
from vitladder.extend.position import PositionEncoding
from vitladder.validation import LARGEST_STEPS, validate


@dataclass(frozen=True)
class Plan:
    """N, C and D of one run. FLOPs are matmul FLOPs; training FLOPs are 3 x forward."""

    n_params: int
    n_matmul: int
    n_nonembed: int
    forward_flops_per_image: int
    backward_flops_per_image: int
    flops_per_image: int
    flops_target: float | None
    flops: float
    images: int
    steps: int
    epochs: float
    tokens: int


def resolve(config: Config, data: DataShape) -> Config:
    """Return the config with nothing left open: the model follows the data, and the ladder.

    Raises UserError where the data and the model do not fit together.
    """
    given = config.model
    model = replace(
        given,
        image_size=given.image_size if given.image_size is not None else data.image_size,
        channels=given.channels if given.channels is not None else data.channels,
        classes=given.classes if given.classes is not None else data.classes,
    )
    if (model.classes or 0) < data.classes:
        raise UserError(
            f"model.classes={model.classes} is fewer than the {data.classes} classes of the data"
        )
    if config.ladder.relative is not None and config.compute.flops is not None:
        encoding = load_encoding(config)
        model = sized(
            model, config.ladder, config.compute.flops, lambda shape: _learned(encoding, shape)
        )
    shape = shape_of(model)
    model = replace(model, heads=shape.heads, kv_heads=shape.kv_heads)
    attention = _all_options("attention", config.attention)
    position = _all_options("position", config.position)
    return validate(replace(config, model=model, attention=attention, position=position))


def plan(config: Config, data: DataShape) -> Plan:
    """Return the plan of a resolved config; UserError if the budget is less than one step."""
    shape = shape_of(config.model)
    count = parameters(shape, position_params(config, shape))
    kernel = load_kernel(config)
    forward = forward_flops(shape, attention_flops(shape, kernel))
    batch = config.data.batch_size
    steps = _steps(config, forward.training)
    images = steps * batch
    return Plan(
        n_params=count.total,
        n_matmul=count.matmul,
        n_nonembed=count.nonembed(shape.width),
        forward_flops_per_image=forward.total,
        backward_flops_per_image=forward.backward,
        flops_per_image=forward.training,
        flops_target=config.compute.flops,
        flops=float(images * forward.training),
        images=images,
        steps=steps,
        epochs=images / data.train_images,
        tokens=images * shape.tokens.seq,
    )


def validate_every(config: Config, plan: Plan) -> int:
    """Return how many steps lie between two measurements of the held-out split."""
    return max(1, plan.steps // config.evaluations)


def position_params(config: Config, shape: Shape) -> int:
    """Return how many parameters the position encoding learns."""
    return _learned(load_encoding(config), shape)


def position_tables(config: Config, shape: Shape) -> dict[str, tuple[int, ...]]:
    """Return the sizes of the tensors that the position encoding learns, by name."""
    return _tables(load_encoding(config), shape)


def load_kernel(config: Config) -> AttentionKernel:
    """Return the attention kernel that the config names, with its options."""
    options = {key: value for key, value in config.attention.items() if key != "name"}
    return registry.load("attention", config.attention["name"], **options)


def load_encoding(config: Config) -> PositionEncoding:
    """Return the position encoding that the config names, with its options."""
    options = {key: value for key, value in config.position.items() if key != "name"}
    return registry.load("position", config.position["name"], **options)


def _learned(encoding: PositionEncoding, shape: Shape) -> int:
    return sum(prod(sizes) for sizes in _tables(encoding, shape).values())


def _tables(encoding: PositionEncoding, shape: Shape) -> dict[str, tuple[int, ...]]:
    """Look on the meta device, so that even the widest costs no memory."""
    import torch

    with torch.device("meta"):
        tables = encoding.parameters(shape.tokens)
        if not isinstance(tables, dict) or not all(
            isinstance(table, torch.Tensor)
            and table.is_floating_point()
            and str(name).isidentifier()
            for name, table in tables.items()
        ):
            raise UserError(
                f"parameters of the encoding {type(encoding).__name__} gives {shown(tables)}; it "
                f"must give a dict of tensors of floats, each by a name of letters"
            )
        return {name: tuple(table.shape) for name, table in tables.items()}


def _all_options(kind: str, node: dict[str, Any]) -> dict[str, Any]:
    given = {key: value for key, value in node.items() if key != "name"}
    return {"name": node["name"], **registry.check_options(kind, node["name"], given)}


def _steps(config: Config, flops_per_image: int) -> int:
    batch, compute = config.data.batch_size, config.compute
    if compute.steps is not None:
        return _at_most(int(compute.steps), f"compute.steps={compute.steps:g}")
    if compute.images is not None:
        exact, given = compute.images / batch, f"compute.images={compute.images:.12g}"
        least = f"{batch} images"
    else:
        exact = (compute.flops or 0.0) / (flops_per_image * batch)
        given = f"compute.flops={compute.flops:g}"
        least = f"{flops_per_image * batch:.3g} FLOPs"
    if exact < 0.5:
        raise UserError(f"{given} is less than one step of {least} (batch size {batch})")
    return _at_most(max(1, round(exact)), given)


def _at_most(steps: int, given: str) -> int:
    if steps > LARGEST_STEPS:
        raise UserError(f"{given} makes {steps:.3g} steps; a run has at most {LARGEST_STEPS}")
    return steps
