"""Which kernels are compiled without a GPU: the product that must hold, and what is rare."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

KERNELS = ("forward", "dkdv", "dq", "dbias")
"""The kernels that hold tiles of scores; delta has no matrix unit, bias, or block of keys."""
TARGETS = ("sm_80", "sm_90", "sm_100", "gfx942")
HALVES = ("bfloat16", "float16")
HEAD_DIMS = (64, 80, 128)
NO_BIAS, FULL_BIAS = "", "1HMN"
SMALL_BIASES = ("1H1N", "1HM1", "111N", "1111")
"""A bias by the sizes of its dimensions; dbias has a sum more for each of M and N that is 1."""
TESTED = ("sm_80", "sm_90")
"""The targets whose every head_dim and bias is in the subset."""


@dataclass(frozen=True)
class Job:
    """One kernel in one configuration."""

    kernel: str
    target: str
    dtype: str
    head_dim: int
    bias: str
    causal: bool = False
    wide: bool = False


def all_jobs() -> list[Job]:
    """Return the product of kernel, target, head_dim, dtype and bias, and all that is rare."""
    return [
        *_halves(TARGETS, HALVES),
        *(Job(k, t, "bfloat16", 128, FULL_BIAS, causal=True) for k, t in _pairs()),
        *(Job(k, t, "float32", d, FULL_BIAS) for (k, t), d in product(_pairs(), (64, 128))),
        *(Job(k, t, "bfloat16", d, FULL_BIAS, wide=True) for (k, t), d in _sized(_pairs())),
        *_small_biases(),
        *(Job("delta", t, dtype, d, NO_BIAS) for t, dtype, d in _deltas()),
        *(Job("delta", t, "bfloat16", 128, NO_BIAS, wide=True) for t in TARGETS),
    ]


def subset() -> list[Job]:
    """Return what the tests have time for.

    On sm_80 and sm_90 in bfloat16 all of kernel x head_dim x bias, and for every target each
    kernel x 16-bit dtype x bias once, float32 once, delta once, and dbias for a bias of one number.
    """
    rest = [t for t in TARGETS if t not in TESTED]
    jobs = [
        *_halves(TESTED, ("bfloat16",)),
        *_rotated(TESTED, ("float16",)),
        *_rotated(rest, HALVES),
        *(Job(k, t, "float32", 64, FULL_BIAS) for k, t in _pairs()),
        *(Job("dbias", t, "bfloat16", 128, "1111") for t in TARGETS),
        *(Job("delta", t, "bfloat16", 80, NO_BIAS) for t in TARGETS),
        *(Job(k, "sm_80", "bfloat16", 128, FULL_BIAS, wide=True) for k in KERNELS),
    ]
    return sorted(jobs, key=_cost, reverse=True)


def _pairs() -> list[tuple[str, str]]:
    return list(product(KERNELS, TARGETS))


def _sized(pairs: Sequence[tuple[str, str]]) -> Iterator[tuple[tuple[str, str], int]]:
    return product(pairs, HEAD_DIMS)


def _deltas() -> Iterator[tuple[str, str, int]]:
    return product(TARGETS, (*HALVES, "float32"), HEAD_DIMS)


def _halves(targets: Sequence[str], dtypes: Sequence[str]) -> list[Job]:
    """Return kernel x target x dtype x head_dim x bias; dbias is for a bias only."""
    choices = product(KERNELS, targets, dtypes, HEAD_DIMS, (NO_BIAS, FULL_BIAS))
    return [Job(*choice) for choice in choices if choice[0] != "dbias" or choice[-1]]


def _rotated(targets: Sequence[str], dtypes: Sequence[str]) -> list[Job]:
    """Return kernel x target x dtype x bias with one head_dim each, all head_dims in turn."""
    choices = product(KERNELS, targets, dtypes, (NO_BIAS, FULL_BIAS))
    kept = [choice for choice in choices if choice[0] != "dbias" or choice[-1]]
    return [
        Job(kernel, target, dtype, HEAD_DIMS[place % 3], bias)
        for place, (kernel, target, dtype, bias) in enumerate(kept)
    ]


def _small_biases() -> list[Job]:
    """Return every bias that is broadcast: for dbias in all dtypes, elsewhere at head_dim 128."""
    jobs = [Job("dbias", *choice) for choice in product(TARGETS, HALVES, HEAD_DIMS, SMALL_BIASES)]
    jobs += [Job("dbias", t, "float32", 128, b) for t, b in product(TARGETS, SMALL_BIASES)]
    readers = [kernel for kernel in KERNELS if kernel != "dbias"]
    return jobs + [
        Job(k, t, "bfloat16", 128, b) for k, t, b in product(readers, TARGETS, SMALL_BIASES)
    ]


def _cost(job: Job) -> tuple[bool, int]:
    """Order the slowest to compile first, so that both processes end together."""
    return job.dtype == "float32", job.head_dim
