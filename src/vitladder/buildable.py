"""The Vision Transformer that can be built nearest to a size that a law prescribes."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from vitladder.compose import compose_config
from vitladder.compute.parameters import parameters
from vitladder.compute.plan import Plan, plan, position_params, resolve
from vitladder.compute.shape import default_heads, shape_of
from vitladder.config import Config, DataShape, flatten
from vitladder.data.describe import describe
from vitladder.errors import UserError
from vitladder.laws.comparable import flat

WIDTH_STEP = 64
SMALL_STEP = 4  # of width, where even one layer of width 64 has more parameters than asked
WIDEST, DEEPEST = 16384, 96
ASPECT = 40.0  # width over depth where no study tells: between ViT-S (32) and ViT-B (64)
LIKE_ASPECT = 0.15  # how many e-folds of N an e-fold of aspect counts as
GROUPS = ("attention", "position", "data", "optim", "schedule", "precision")
CHOSEN = ("width", "depth", "heads", "kv_heads")
LEFT_OUT = ("study", "outputs", "threads", "data.cache", "data.cache_gib")


@dataclass(frozen=True)
class Buildable:
    """A model to train: its overrides for `vitladder train` and `plan`, and its plan."""

    overrides: tuple[str, ...]
    plan: Plan
    hidden: int
    config: Config


@dataclass(frozen=True)
class Base:
    """What all models of a prescription share: overrides, their config, width over depth."""

    overrides: tuple[str, ...]
    config: Config
    data: DataShape
    aspect: float
    sharing: int = 1  # heads of queries that share one of keys and values


def base_of(recorded: Mapping[str, Any] | None, given: Sequence[str]) -> Base:
    """The settings of a study's run (its record's config), or the defaults, with overrides.

    Raises UserError where an override is wrong.
    """
    overrides = [*(_overrides(recorded) if recorded else []), *given]
    config = compose_config(overrides)
    model = config.model
    size, channels, classes = model.image_size, model.channels, model.classes
    if size is not None and channels is not None and classes is not None:
        data = DataShape(1, 1, size, channels, classes)
    else:
        data = describe(config.data)
    shape = (recorded or {}).get("model") or {}
    aspect = shape["width"] / shape["depth"] if recorded else ASPECT
    heads, kv_heads = shape.get("heads"), shape.get("kv_heads")
    sharing = heads // kv_heads if heads and kv_heads else 1
    return Base(tuple(overrides), config, data, aspect, sharing)


def nearest(base: Base, n_params: float, flops: float) -> Buildable:
    """The model of nearest N whose aspect is about the base's, trained with C = `flops`."""
    one_layer = _count(base, WIDTH_STEP, 1)
    step = WIDTH_STEP if n_params > one_layer / math.sqrt(2) else SMALL_STEP
    best: tuple[float, int, int] | None = None
    for width in range(step, WIDEST + 1, step):
        first, second = _count(base, width, 1), _count(base, width, 2)
        exact = 1 + (n_params - first) / (second - first)
        for depth in sorted({_depth(math.floor(exact)), _depth(math.ceil(exact))}):
            count = first + (depth - 1) * (second - first)
            off = abs(math.log(count / n_params))
            off += LIKE_ASPECT * abs(math.log(width / depth / base.aspect))
            if best is None or off < best[0]:
                best = (off, width, depth)
        if first > 2 * n_params:
            break
    if best is None:
        raise UserError(f"no Vision Transformer has about {n_params:.3g} parameters")
    return _built(base, best[1], best[2], flops)


def _depth(exact: int) -> int:
    return max(1, min(DEEPEST, exact))


def _built(base: Base, width: int, depth: int, flops: float) -> Buildable:
    heads = default_heads(width)
    model = replace(
        base.config.model, width=width, depth=depth, heads=heads, kv_heads=_kv_heads(base, heads)
    )
    compute = replace(base.config.compute, flops=flops, images=None, steps=None)
    config = resolve(replace(base.config, model=model, compute=compute), base.data)
    shape = shape_of(config.model)
    own = [f"model.width={width}", f"model.depth={depth}", f"model.heads={heads}"]
    if base.sharing > 1:
        own.append(f"model.kv_heads={shape.kv_heads}")
    overrides = (*base.overrides, *own, f"compute.flops={flops:.6g}")
    return Buildable(overrides, plan(config, base.data), shape.hidden, config)


def _kv_heads(base: Base, heads: int) -> int:
    """As many as the study's sharing leaves, where it divides."""
    return heads // base.sharing if heads % base.sharing == 0 else heads


def _count(base: Base, width: int, depth: int) -> int:
    model = replace(
        base.config.model,
        width=width,
        depth=depth,
        heads=default_heads(width),
        kv_heads=_kv_heads(base, default_heads(width)),
        image_size=base.config.model.image_size or base.data.image_size,
        channels=base.config.model.channels or base.data.channels,
        classes=base.config.model.classes or base.data.classes,
    )
    shape = shape_of(model)
    return parameters(shape, position_params(base.config, shape)).total


def _overrides(recorded: Mapping[str, Any]) -> list[str]:
    """What a run's config has that the defaults do not, but its size and its budget."""
    chosen = {group: (recorded.get(group) or {}).get("name") for group in GROUPS}
    groups = [f"{group}={name}" for group, name in chosen.items() if name]
    path = (recorded.get("data") or {}).get("path")
    where = [f"data.path={_written(path)}"] if path else []
    defaults = flatten(compose_config([*groups, *where]))
    changed = []
    for key, value in flat(recorded):
        section, _, name = key.partition(".")
        if section not in ("model", *GROUPS) or name == "name" or key in LEFT_OUT:
            continue
        if (section == "model" and name in CHOSEN) or defaults.get(key, value) == value:
            continue
        changed.append(f"{key}={_written(value)}")
    usual = flatten(compose_config([]))
    named = [one for one in groups if usual[f"{one.split('=')[0]}.name"] != one.split("=")[1]]
    return [*named, *where, *changed]


def _written(value: Any) -> str:
    """A value in Hydra's grammar."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "[" + ",".join(_written(one) for one in value) + "]"
    plain = not isinstance(value, str) or re.fullmatch(r"[\w./-]+", value)
    return str(value) if plain else f"'{value}'"


def refuse_keys(given: Sequence[str]) -> None:
    """Raise UserError where an override sets what is prescribed."""
    for one in given:
        key = one.partition("=")[0].lstrip("+")
        if key.startswith(("compute.", "ladder.")) or key in [f"model.{name}" for name in CHOSEN]:
            raise UserError(f"{one}: that is what is prescribed; leave it out")
