"""Whether the plugins of a run can serve it, and what of a kernel runs."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from vitladder.compute.formats import FORMATS
from vitladder.compute.kernels import attention_spec
from vitladder.compute.plan import load_encoding, load_kernel
from vitladder.compute.shape import Shape, shape_of
from vitladder.config import Config
from vitladder.errors import UserError
from vitladder.extend.position import PositionEncoding


def check_plugins(config: Config, device: str, dtype: str) -> None:
    """Raise UserError where the kernel or the encoding cannot serve the run, saying why."""
    checked_encoding(config, shape_of(config.model))
    spec = attention_spec(config, device, dtype)
    reason = load_kernel(config).supports(spec)
    _check_reason(f"attention={config.attention['name']}", reason)
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
    tokens, encoding = shape.tokens, checked_encoding(config, shape)
    size = (1, shape.heads, tokens.seq, shape.head_dim)
    q, k, v = (torch.zeros(size, dtype=dtype, device=device, requires_grad=True) for _ in range(3))
    learned = {
        name: nn.Parameter(table.to(device)) for name, table in encoding.parameters(tokens).items()
    }
    bias = encoding.bias(tokens.grid, shape.heads, device, **learned)
    if bias is not None:
        bias = pad(bias, (tokens.prefix, 0, tokens.prefix, 0))
    return load_kernel(config).placed(tokens.grid, tokens.prefix).ran_backend(q, k, v, bias=bias)


def checked_encoding(config: Config, shape: Shape) -> PositionEncoding:
    """Return the encoding of a config; UserError where it cannot serve the shape."""
    encoding = load_encoding(config)
    reason = encoding.supports(shape.tokens)
    _check_reason(f"position={config.position['name']}", reason)
    if reason is not None:
        raise UserError(f"position={config.position['name']} cannot serve this model: {reason}")
    return encoding


def _check_reason(plugin: str, reason: object) -> None:
    if not isinstance(reason, str | None):
        raise UserError(f"{plugin}: supports gives {reason!r}; it must give None, or why not")


def check_heads_apart(config: Config, devices: int, device: torch.device) -> None:
    """Raise UserError where the plugins treat some of the heads unlike these among all of them.

    Tensor parallelism gives each device some of the heads. A plugin that numbers its heads, and
    does not say by `head_axes` which of its parameters belong to which, would be another model.
    """
    shape = shape_of(config.model)
    mine = slice(shape.heads - shape.heads // devices, shape.heads)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        _check_encoding_apart(config, shape, mine)
        _check_kernel_apart(config, shape, mine, device)


def _check_encoding_apart(config: Config, shape: Shape, mine: slice) -> None:
    encoding, grid = checked_encoding(config, shape), shape.tokens.grid
    q, k = torch.randn(2, 1, shape.heads, shape.tokens.seq, shape.head_dim)
    learned = encoding.parameters(shape.tokens)
    some = {
        name: table.narrow(axis, mine.start, mine.stop - mine.start)
        if (axis := encoding.head_axes.get(name)) is not None
        else table
        for name, table in learned.items()
    }
    for layer in (0, shape.depth - 1):
        whole = encoding.rotate(q, k, grid, layer, **learned)
        apart = encoding.rotate(q[:, mine], k[:, mine], grid, layer, **some)
        for of_all, own in zip(whole, apart, strict=True):
            if not torch.allclose(of_all[:, mine], own, rtol=1e-4, atol=1e-5):
                raise UserError(
                    f"position={config.position['name']} turns a head otherwise when it sees only "
                    f"some of them; its head_axes must say which of its parameters count heads"
                )


def _check_kernel_apart(config: Config, shape: Shape, mine: slice, device: torch.device) -> None:
    """Compare on a CPU in float32 where the kernel runs there, else where the run is."""
    kernel = load_kernel(config).placed(shape.tokens.grid, shape.tokens.prefix)
    of_run = FORMATS[config.precision.name].dtype
    places = [("cpu", "float32"), (device.type, of_run)]
    serving = [p for p in places if kernel.supports(attention_spec(config, *p)) is None]
    if not serving:
        return  # check_plugins refuses it, and says why
    where, dtype = serving[0]
    size = (3, 1, shape.heads, shape.tokens.seq, shape.head_dim)
    q, k, v = torch.randn(size).to(where, getattr(torch, dtype))
    together, alone = kernel(q, k, v), kernel(q[:, mine], k[:, mine], v[:, mine])
    near = 1e-3 if dtype in ("float32", "float64") else 3e-2
    assert isinstance(together, Tensor)  # noqa: S101  # for the type checker
    assert isinstance(alone, Tensor)  # noqa: S101  # for the type checker
    if not torch.allclose(together[:, mine], alone, rtol=near, atol=near / 10):
        raise UserError(
            f"attention={config.attention['name']} computes a head otherwise when it sees only "
            f"some of them; devices cannot share its layers"
        )
