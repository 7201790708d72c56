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


def with_kernel(config: Config, name: str) -> Config:
    """Return the config with another kernel, which has its default options."""
    options = registry.check_options("attention", name, {})
    return replace(config, attention={"name": name, **options})


def interchangeable(config: Config) -> list[str]:
    """Return the kernels that compute what the config's own does: the exact ones of all keys.

    A kernel that approximates, or sees a part of the keys, is a model of its own: it stays. One
    that cannot be loaded is listed too, since whoever tries it is told why.
    """
    own = config.attention["name"]
    if not _sees_everything(config):
        return [own]
    others = (name for name in registry.discover("attention") if name != own)
    return [own, *(name for name in others if _may_stand_in(config, name))]


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
