"""The rules of position encodings, one function each."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from vitladder.extend.conformance.finding import Finding
from vitladder.extend.conformance.position import DEPTH, HEAD_DIM, HEADS, TRAINED, Setting

NORM_LIMIT = 1e-6
SHIFT_LIMIT = 1e-6
ROUNDING_LIMIT = 2.0
"""Largest error of a 16-bit q or k that was turned, in unit roundoffs of its largest pair."""


def shapes(setting: Setting) -> Iterator[Finding]:
    """All hooks keep shapes and dtypes; a bias is float [1, heads, patches, patches]."""
    tokens, q = setting.tokens(), setting.heads()
    results = {"embed": (setting.embed(tokens), tokens.shape)}
    for layer in range(DEPTH):
        results |= {
            f"rotate {name}": (turned, q.shape)
            for name, turned in zip("qk", setting.rotate(q, q, layer), strict=True)
        }
    bias, patches = setting.bias(), setting.patches
    if bias is not None:
        results["bias"] = (bias, torch.Size((1, HEADS, patches, patches)))
    for name, (result, shape) in results.items():
        if result.shape != shape or not result.is_floating_point():
            have = f"{name} gives {list(result.shape)} {result.dtype}"
            yield Finding("shapes", str(setting), have, str(list(shape)))
        elif not bool(result.isfinite().all()):
            yield Finding("shapes", str(setting), f"{name} gives NaN or infinities", "finite")


def untouched(setting: Setting) -> Iterator[Finding]:
    """No hook writes to tokens, q, k or a parameter."""
    tokens, q, k = setting.tokens(), setting.heads(), setting.heads(seed=2)
    given = {"tokens": tokens, "q": q, "k": k, **setting.parameters}
    before = {name: tensor.clone() for name, tensor in given.items()}
    setting.embed(tokens)
    setting.rotate(q, k)
    setting.bias()
    for name, tensor in given.items():
        if not torch.equal(tensor, before[name]):
            yield Finding("untouched", str(setting), f"{name} is changed", "as it was")


def deterministic(setting: Setting) -> Iterator[Finding]:
    """The same call gives the same bits."""
    first, second = _everything(setting), _everything(setting)
    for name, result in first.items():
        if not torch.equal(result, second[name]):
            yield Finding("deterministic", str(setting), f"{name} differs", "equal")


def prefix_untouched(setting: Setting) -> Iterator[Finding]:
    """Class and register tokens come out of embed and rotate as they went in."""
    tokens, q = setting.tokens(), setting.heads()
    turned = setting.rotate(q, q)
    prefix = setting.prefix
    pairs = {"embed": (setting.embed(tokens)[:, :prefix], tokens[:, :prefix])}
    pairs |= {
        f"rotate {n}": (t[:, :, :prefix], q[:, :, :prefix])
        for n, t in zip("qk", turned, strict=True)
    }
    for name, (result, given) in pairs.items():
        if not torch.equal(result, given):
            yield Finding("prefix_untouched", str(setting), f"{name} changes it", "as it was")


def norms_kept(setting: Setting) -> Iterator[Finding]:
    """rotate keeps the norm of every q and k to 1e-6."""
    q, k = setting.heads(), setting.heads(seed=2)
    for layer in range(DEPTH):
        for given, turned in zip((q, k), setting.rotate(q, k, layer), strict=True):
            ratio = turned.double().norm(dim=-1) / given.double().norm(dim=-1)
            error = float((ratio - 1).abs().max())
            yield from setting.within("norms_kept", error, NORM_LIMIT, "change of a norm")


def relative_only(setting: Setting) -> Iterator[Finding]:
    """The scores of a relative encoding are the same, to 1e-6, wherever a pair of patches is."""
    if not setting.encoding.relative:
        return
    tokens = setting.tokens()
    if not torch.equal(setting.embed(tokens), tokens):
        yield Finding("relative_only", str(setting), "embed adds absolute places", "nothing")
    if setting.grid != TRAINED:
        return
    for dtype in (torch.float32, torch.float64):
        for layer in range(DEPTH):
            scores = _scores(setting, dtype, layer)
            spread = _spread(scores, setting.grid)
            yield from setting.within("relative_only", spread, SHIFT_LIMIT, str(dtype))


def _scores(setting: Setting, dtype: torch.dtype, layer: int) -> Tensor:
    """Return [heads, patches, patches], all patches alike: q·k / (|q| |k|), and the bias."""
    full = (1, HEADS, setting.prefix + setting.patches, HEAD_DIM)
    q, k = (setting.draw(1, HEADS, 1, HEAD_DIM, dtype=dtype, seed=seed) for seed in (3, 4))
    q, k = (tensor / tensor.norm(dim=-1, keepdim=True) for tensor in (q, k))
    q, k = setting.rotate(q.expand(full), k.expand(full), layer)
    q, k = (tensor[:, :, setting.prefix :].double() for tensor in (q, k))
    bias = setting.bias()
    # Patch of the query, patch of the key.
    return (q @ k.mT + (0.0 if bias is None else bias.double()))[0]


def _spread(scores: Tensor, grid: tuple[int, int]) -> float:
    """Return how far scores of one offset are apart, at most, over all offsets."""
    rows, columns = grid
    board = scores.reshape(len(scores), *grid, *grid)
    worst = 0.0
    for down in range(-rows + 1, rows):
        for right in range(-columns + 1, columns):
            row = torch.arange(max(0, -down), min(rows, rows - down))[:, None]
            column = torch.arange(max(0, -right), min(columns, columns - right))
            same = board[:, row, column, row + down, column + right].flatten(1)
            worst = max(worst, float((same.amax(1) - same.amin(1)).max()))
    return worst


def rounding(setting: Setting) -> Iterator[Finding]:
    """16-bit q and k are turned by exact angles, and rounded once: bf16 angles are off by 0.1."""
    for dtype in (torch.bfloat16, torch.float16):
        q = setting.heads(dtype)
        turned = setting.rotate(q, q)[0]
        if turned.dtype != dtype:
            yield Finding("rounding", str(setting), f"{turned.dtype} comes out", f"{dtype}")
        wide = setting.rotate(q.double(), q.double())[0]
        unit = torch.finfo(dtype).eps / 2 * 2**0.5 * float(q.abs().max())
        error = float((turned.double() - wide.double()).abs().max()) / unit
        yield from setting.within("rounding", error, ROUNDING_LIMIT, str(dtype))


def finite_gradients(setting: Setting) -> Iterator[Finding]:
    """Every parameter gets a gradient, and it is finite."""
    leaves = {n: p.detach().clone().requires_grad_() for n, p in setting.parameters.items()}
    if not leaves:
        return
    with_leaves = Setting(setting.encoding, setting.grid, setting.prefix, setting.device)
    with_leaves.parameters = leaves
    results = _everything(with_leaves)
    loss = sum((r * setting.draw(*r.shape, seed=5)).sum() for r in results.values())
    if not isinstance(loss, Tensor) or not loss.requires_grad:
        yield Finding("finite_gradients", str(setting), "nothing depends on them", "a gradient")
        return
    found = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True)
    for name, gradient in zip(leaves, found, strict=True):
        if gradient is None or not bool(gradient.isfinite().all()):
            have = "no gradient" if gradient is None else "NaN or infinities"
            yield Finding("finite_gradients", str(setting), f"{name}: {have}", "finite")


def _everything(setting: Setting) -> dict[str, Tensor]:
    """Return what all hooks give."""
    q, k = setting.heads(), setting.heads(seed=2)
    results = {"embed": setting.embed(setting.tokens())}
    for layer in range(DEPTH):
        turned = setting.rotate(q, k, layer)
        results |= {f"q of layer {layer}": turned[0], f"k of layer {layer}": turned[1]}
    bias = setting.bias()
    return results if bias is None else results | {"bias": bias}


RULES = (
    shapes,
    untouched,
    deterministic,
    prefix_untouched,
    norms_kept,
    rounding,
    relative_only,
    finite_gradients,
)
