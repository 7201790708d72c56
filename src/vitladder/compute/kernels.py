"""Which attention kernels may stand in for a run's own, and what the run asks of them."""

from __future__ import annotations

from dataclasses import replace

from vitladder.compute.plan import load_encoding, load_kernel, position_params
from vitladder.compute.shape import shape_of
from vitladder.config import Config
from vitladder.errors import UserError
from vitladder.extend import registry
from vitladder.extend.attention import AttentionSpec


def attention_spec(config: Config, device: str, dtype: str) -> AttentionSpec:
    """Return what a resolved config asks of its kernel; dtype is torch's name, such as float32."""
    shape, encoding = shape_of(config.model), load_encoding(config)
    return AttentionSpec(
        device=device,
        dtype=dtype,
        head_dim=shape.head_dim,
        bias=encoding.biases,
        bias_grad=encoding.biases and position_params(config, shape) > 0,
    )


def with_kernel(config: Config, written: str) -> Config:
    """Return the config with another kernel, written as its name and the options it has.

    Such as "naive products=input"; options that are not written have their defaults.
    """
    name, *options = written.split()
    given = dict(option.split("=", 1) for option in options)
    return replace(
        config, attention={"name": name, **registry.check_options("attention", name, given)}
    )


def interchangeable(config: Config) -> list[str]:
    """Return the kernels that compute what the config's own does: the exact ones of all keys.

    A kernel that approximates, or sees a part of the keys, is a model of its own: it stays. One
    that cannot be loaded is listed too, since whoever tries it is told why. Variants follow their
    kernel, the config's own where its options are the defaults.
    """
    own = config.attention["name"]
    if not _sees_everything(config):
        return [own]
    others = (name for name in registry.discover("attention") if name != own)
    found = [name for name in others if _may_stand_in(config, name)]
    has_defaults = with_kernel(config, own).attention == config.attention
    names = [own, *(variants(config, own) if has_defaults else [])]
    return names + [written for name in found for written in (name, *variants(config, name))]


def variants(config: Config, name: str) -> list[str]:
    """Return a kernel's variants as they are written; none where it cannot be loaded."""
    try:
        kernel = load_kernel(with_kernel(config, name))
    except UserError:
        return []
    return [
        " ".join((name, *(f"{key}={value}" for key, value in options.items())))
        for options in kernel.variants
    ]


def _may_stand_in(config: Config, name: str) -> bool:
    try:
        return _sees_everything(with_kernel(config, name))
    except UserError:
        return True


def _sees_everything(config: Config) -> bool:
    """Whether the config's kernel is exact and every query sees every key."""
    tokens = shape_of(config.model).tokens
    kernel = load_kernel(config).placed(tokens.grid, tokens.prefix)
    return kernel.exact and kernel.sees(tokens.seq, tokens.seq) is None
