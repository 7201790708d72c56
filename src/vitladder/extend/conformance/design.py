"""Which cases a kernel is judged in: pairs of everything in `thorough`, every value in `fast`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from vitladder.extend.attention import AttentionKernel, AttentionSpec
from vitladder.extend.conformance.cases import (
    BIASES,
    DTYPES,
    GRAD_LAYOUTS,
    HEAD_DIMS,
    LAYOUTS,
    SEQS,
    Case,
)
from vitladder.extend.conformance.covering import covering

Profile = Literal["fast", "thorough"]

# Every sequence length stands on one side, the long ones across from short ones: few blocks.
_FAST_SIZES = (
    (17, 17),
    (1, 1),
    (2, 2),
    (15, 15),
    (16, 16),
    (64, 64),
    (65, 65),
    (2, 65),
    (64, 1),
    (65, 17),
    (16, 197),
    (257, 15),
    (1, 521),
    (521, 2),
)


@dataclass(frozen=True)
class Offer:
    """What a kernel supports on a device, as its supports() says."""

    dtypes: tuple[str, ...]
    head_dims: tuple[int, ...]
    biases: tuple[tuple[str | None, str], ...]
    bias_grad: bool
    causal: tuple[bool, ...]
    placed: bool
    refusal: str = ""


def offer_of(kernel: AttentionKernel, device: str) -> Offer:
    """Ask the kernel about everything that cases vary, one thing at a time."""

    def why(dtype: str = "float32", head_dim: int = 64, **asked: bool) -> str | None:
        return kernel.supports(AttentionSpec(device, dtype, head_dim, **asked))

    pairs = [(dtype, dim) for dtype in DTYPES for dim in HEAD_DIMS if why(dtype, dim) is None]
    dtypes = tuple(dtype for dtype in DTYPES if any(dtype == one for one, _ in pairs))
    dims = tuple(dim for dim in HEAD_DIMS if any(dim == one for _, one in pairs))
    some = pairs[0] if pairs else ("float32", 64)
    bias_grad = why(*some, bias=True, bias_grad=True) is None
    biased = bias_grad or why(*some, bias=True) is None
    return Offer(
        dtypes=dtypes,
        head_dims=dims,
        biases=BIASES if biased else BIASES[:1],
        bias_grad=bias_grad,
        causal=(False, True) if why(*some, causal=True) is None else (False,),
        placed=type(kernel).placed is not AttentionKernel.placed,
        refusal="" if pairs else why() or "no head_dim and dtype is supported",
    )


def design(kernel: AttentionKernel, device: str, profile: Profile) -> dict[str, list[Case]]:
    """Return the cases of every group that rules name, of what the kernel supports."""
    offer = offer_of(kernel, device)
    groups = {
        "every": [*_extremes(offer), *_edges(offer), *_covering(offer, profile)],
        "rounding": list(_rounding(offer)),
        **_by_hand(offer),
    }
    groups["model"] = list(_model(kernel, offer, device))
    groups["biased"] = [case for case in groups["every"] if case.bias is not None]
    return {
        name: list(dict.fromkeys(case for case in cases if _serves(kernel, case, device)))
        for name, cases in groups.items()
    }


def _serves(kernel: AttentionKernel, case: Case, device: str) -> bool:
    return kernel.supports(case.spec(device)) is None


def _covering(offer: Offer, profile: Profile) -> Iterator[Case]:
    lengths: dict[str, Sequence[object]] = {"size": _FAST_SIZES}
    if profile == "thorough":
        lengths = {"queries": ("same", *SEQS), "keys": SEQS}
    if offer.placed:
        lengths = {"keys": SEQS if profile == "thorough" else SEQS[:-2]}
    factors: dict[str, Sequence[object]] = {
        **lengths,
        "dtype": offer.dtypes,
        "heads": ((2, 1), (1, 2)) if profile == "fast" else ((2, 2), (1, 3), (3, 1)),
        "head_dim": offer.head_dims,
        "layout": LAYOUTS,
        "grad_layout": GRAD_LAYOUTS,
        "bias": offer.biases,
        "causal": offer.causal,
        "scale": (None, 0.3),
        "lse": (True, False),
    }
    strength = 2 if profile == "thorough" else 1
    for row in covering(factors, strength, seed=3, tries=200 if strength == 1 else 24):
        yield _case(row, offer)


def _case(row: dict[str, Any], offer: Offer) -> Case:
    """Make a case of a combination; where packed qkv asks for M = N, it gets it."""
    values = dict(row)
    lengths = (values.pop("queries", "same"), values.pop("keys", 0))
    queries, keys = values.pop("size", lengths)
    batch, heads = values.pop("heads")
    bias, mask = values.pop("bias")
    if queries == "same" or offer.placed:
        queries = keys
    if max(queries, keys) > 100:
        batch, heads = 1, 1
    return Case(
        queries=queries,
        keys=keys,
        batch=batch,
        heads=heads,
        bias=bias,
        mask=mask,
        bias_grad=offer.bias_grad,
        placed=offer.placed,
        **values,
    )


def _extremes(offer: Offer) -> Iterator[Case]:
    """Logits of hundreds, and logits that are all near +1e4 or -1e4."""
    base = _base(offer, 1, 1, 17, 33)
    yield replace(base, logits="large", layout="transposed")
    if len(offer.biases) > 1:
        for logits, dtype in (("high", offer.dtypes[0]), ("low", offer.dtypes[-1])):
            yield replace(base, logits=logits, dtype=dtype, bias="BHMN")


def _edges(offer: Offer) -> Iterator[Case]:
    """Tiles that are partly empty; biases with several images, heads, queries and keys."""
    dims = [dim for dim in (72, 16, 80) if dim in offer.head_dims] or offer.head_dims[:1]
    sizes = ((15, 15), (17, 65), (65, 17))
    biased = len(offer.biases) > 1
    for dim, size in zip(dims, sizes, strict=False):
        yield replace(_base(offer, 1, 2, *size), head_dim=dim, bias="BHMN" if biased else None)
    for bias in ("BHMN", "1HMN", "B1MN", "H11", "BH1N") if biased else ():
        yield replace(_base(offer, 2, 3, 5, 7), bias=bias, head_dim=min(offer.head_dims))
    if biased:
        half = replace(_base(offer, 1, 2, 17, 33), dtype=offer.dtypes[-1])
        yield replace(half, bias="1HMN", wide_bias=True)


def _rounding(offer: Offer) -> Iterator[Case]:
    """Long sums over the keys, then over the queries, in the dtypes of 16 bits."""
    for dtype in offer.dtypes:
        if dtype != "float32":
            bias = "BH1N" if len(offer.biases) > 1 else None
            yield replace(_base(offer, 1, 1, 64, 257), dtype=dtype, bias=bias)
            yield replace(_base(offer, 1, 1, 257, 64), dtype=dtype)


def _by_hand(offer: Offer) -> dict[str, list[Case]]:
    """Return the small cases of the rules on structure and manners."""
    last = offer.dtypes[-1:] or ("float32",)
    biases = ("1HMN", "BHMN") if len(offer.biases) > 1 else (None, None)
    one = _base(offer, 1, 2, 17, 33)
    two = replace(_base(offer, 2, 1, 33, 17), dtype=last[0], layout="transposed")
    small = [replace(one, bias=biases[0], scale=0.3), two]
    many = _base(offer, 1, 2, 96, 96)
    if offer.head_dims:
        many = replace(many, head_dim=min(offer.head_dims))
    causal = [_base(offer, 1, 2, 17, 33), _base(offer, 1, 1, 33, 17)]
    return {
        "tiny": [_base(offer, 1, 1, 2, 2)],
        "empty": [replace(one, batch=0), replace(one, batch=0, bias=biases[0])],
        "small": small,
        "plain": [_base(offer, 1, 2, 17, 33)],
        "crossed": [replace(_base(offer, 1, 2, 17, 65), bias=biases[1])],
        "causal": [replace(case, causal=True) for case in causal],
        "memory": [
            replace(many, **changed)
            for changed in (
                {"lse": False},
                {"lse": False, "dtype": last[0]},
                {"causal": True},
                {"bias": biases[0]},
            )
        ],
        "converges": [_base(offer, 1, 2, 64, 64)],
        "autocast": [
            replace(one, dtype=dtype, bias=biases[0])
            for dtype in offer.dtypes
            if dtype != "float32"
        ],
    }


def _model(kernel: AttentionKernel, offer: Offer, device: str) -> Iterator[Case]:
    """The attention of a model 64 wide, or as wide as the smallest head_dim makes it."""
    for dim in sorted(offer.head_dims):
        heads = max(2, 64 // dim)
        case = Case(heads=heads, head_dim=dim, layout="packed", lse=False, placed=offer.placed)
        if _serves(kernel, case, device):
            yield case
            return


def _base(offer: Offer, batch: int, heads: int, queries: int, keys: int) -> Case:
    """Return a plain case of these sizes, in the first dtype and head_dim of the offer."""
    if offer.placed:
        queries = keys = 17 if max(queries, keys) < 65 else 65 if queries * keys < 9000 else 197
    return Case(
        dtype=offer.dtypes[0] if offer.dtypes else "float32",
        batch=batch,
        heads=heads,
        queries=queries,
        keys=keys,
        head_dim=offer.head_dims[0] if offer.head_dims else 64,
        bias_grad=offer.bias_grad,
        placed=offer.placed,
    )
