"""Whether a user's own plugins keep their contract, asked of one image before a run starts."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from vitladder.compute.formats import FORMATS
from vitladder.compute.plan import load_encoding, load_kernel
from vitladder.compute.shape import Shape, attention_shape, shape_of
from vitladder.config import Config
from vitladder.errors import UserError
from vitladder.extend import registry
from vitladder.extend.attention import AttentionKernel

# So few tokens cost nothing with any kernel: one class token and four patches.
_FEW_PATCHES, _FEW_PREFIX = (2, 2), 1


def check_outputs(config: Config, device: torch.device) -> None:
    """Raise UserError where a plugin from elsewhere raises, or gives a wrong shape or dtype.

    Those of the package are proven by the conformance kit.
    """
    shape = shape_of(config.model)
    foreign = {
        kind: registry.find(kind, getattr(config, kind)["name"]).foreign_code() is not None
        for kind in registry.KINDS
    }
    if not any(foreign.values()):
        return
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        bias = _check_encoding(config, shape, device)
        if foreign["attention"]:
            _check_kernel(config, shape, bias, device)


def _check_encoding(config: Config, shape: Shape, device: torch.device) -> Tensor | None:
    """Check what an encoding adds, turns and biases; return the bias of all tokens."""
    name, tokens = f"position={config.position['name']}", shape.tokens
    encoding = load_encoding(config)
    learned = {key: table.to(device) for key, table in encoding.parameters(tokens).items()}
    embedded = torch.zeros(1, tokens.seq, shape.width, device=device)
    added = _called(name, "embed", lambda: encoding.embed(embedded, tokens.grid, **learned))
    _check(f"{name}: embed", added, embedded)
    q, k = torch.zeros(2, 1, shape.heads, tokens.seq, shape.head_dim, device=device)
    for layer in (0, shape.depth - 1):
        rotate = partial(encoding.rotate, q, k, tokens.grid, layer, **learned)
        for one in _pair(f"{name}: rotate", _called(name, "rotate", rotate), "q and k"):
            _check(f"{name}: rotate", one, q)
    kept = _called(name, "saved_bytes", lambda: encoding.saved_bytes(tokens, 1, 4))
    _check_count(f"{name}: saved_bytes", kept)
    bias = _called(name, "bias", lambda: encoding.bias(tokens.grid, shape.heads, device, **learned))
    if bias is None:
        return None
    patches = tokens.grid[0] * tokens.grid[1]
    _check(f"{name}: bias", bias, torch.zeros(1, shape.heads, patches, patches, device=device))
    return pad(bias, (tokens.prefix, 0, tokens.prefix, 0))


def _check_kernel(config: Config, shape: Shape, bias: Tensor | None, device: torch.device) -> None:
    """Call the kernel on few tokens; where it is not made for these, on those of one image."""
    name, tokens, own = _named(config), shape.tokens, load_kernel(config)
    size = attention_shape(shape, batch=1)
    for count in ("saved_bytes", "working_bytes", "kept_inputs"):
        counted = _called(name, count, partial(getattr(own, count), size, 4))
        _check_count(f"{name}: {count}", counted)
    few = _FEW_PREFIX + _FEW_PATCHES[0] * _FEW_PATCHES[1]
    small = None if bias is None else bias.new_zeros(1, shape.heads, few, few)
    try:
        kernel = own.placed(_FEW_PATCHES, _FEW_PREFIX)
        given = _attended(config, kernel, few, shape, small, device)
    except (Exception, SystemExit):
        kernel = _called(name, "placed", lambda: own.placed(tokens.grid, tokens.prefix))
        try:
            given = _attended(config, kernel, tokens.seq, shape, bias, device)
        except (torch.OutOfMemoryError, MemoryError):
            return  # a run finds out how much of a batch has room
        except (Exception, SystemExit) as error:
            raise _raised(name, "the kernel", error) from error
    q, output, both = given
    _check(name, output, q)
    first, sums = _pair(f"{name}: with return_lse=True it", both, "output and log-sum-exp")
    _check(name, first, q)
    wide = torch.float64 if q.dtype == torch.float64 else torch.float32
    _check(f"{name}: as log-sum-exp it", sums, q[..., 0].to(wide))


def _attended(
    config: Config,
    kernel: AttentionKernel,
    seq: int,
    shape: Shape,
    bias: Tensor | None,
    device: torch.device,
) -> tuple[Tensor, Any, Any]:
    """Return queries, and what the kernel makes of them in the run's precision."""
    form = FORMATS[config.precision.name]
    dtype = getattr(torch, form.dtype)
    size = (3, 1, shape.heads, seq, shape.head_dim)
    q, k, v = torch.zeros(size, dtype=dtype, device=device)
    mixed = form.activation != form.weight
    with torch.autocast(device.type, dtype if mixed else None, enabled=mixed):
        return q, kernel(q, k, v, bias=bias), kernel(q, k, v, bias=bias, return_lse=True)


def _named(config: Config) -> str:
    return f"attention={config.attention['name']}"


def _called(name: str, what: str, call: Callable[[], Any]) -> Any:
    try:
        return call()
    except (Exception, SystemExit) as error:
        raise _raised(name, what, error) from error


def _raised(name: str, what: str, error: BaseException) -> UserError:
    return UserError(
        f"{name}: {what} raises {type(error).__name__}: {error}; `vitladder plugins check "
        f"{name.partition('=')[2]}` tries it on all that it may meet"
    )


def _check(what: str, given: Any, like: Tensor) -> None:
    if not isinstance(given, Tensor):
        raise UserError(f"{what} gives {_kind(given)}; it must give a tensor {_words(like)}")
    alike = (given.shape, given.dtype, given.device) == (like.shape, like.dtype, like.device)
    if not alike:
        raise UserError(f"{what} gives a tensor {_words(given)}; it must be {_words(like)}")


def _check_count(what: str, given: Any) -> None:
    if not isinstance(given, int) or given < 0:
        raise UserError(f"{what} gives {given!r}; it must give a whole number, 0 or more")


def _pair(what: str, given: Any, of: str) -> tuple[Any, Any]:
    if not isinstance(given, tuple) or len(given) != 2:
        raise UserError(f"{what} gives {_kind(given)}; it must give the pair of {of}")
    return given


def _kind(given: Any) -> str:
    return "nothing" if given is None else f"a {type(given).__name__}"


def _words(tensor: Tensor) -> str:
    return f"{list(tensor.shape)} of {str(tensor.dtype).removeprefix('torch.')} on {tensor.device}"
