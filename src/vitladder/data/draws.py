"""Random numbers without a state: each one is a function of a seed and of what it is drawn for."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]
WordArray = npt.NDArray[np.uint64]

# What a number is drawn for; two purposes never share a number.
HOLD_OUT: Final = 0
ORDER: Final = 1
CROP_ROW: Final = 2
CROP_COLUMN: Final = 3
FLIP: Final = 4
RANDAUGMENT: Final = 5
MIXING: Final = 6
SHARE: Final = 7

_GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)
_FIRST: Final = np.uint64(0xBF58476D1CE4E5B9)
_SECOND: Final = np.uint64(0x94D049BB133111EB)


def draws(seed: int, *counters: int | IntArray) -> WordArray:
    """Return 64 random bits for every combination of the seed and the broadcast counters.

    Each counter n replaces the state by the n-th output of the SplitMix64 generator started at
    that state (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA
    2014, figure 17). Nothing else enters: no library version, thread or order of calls.
    """
    state = np.array([seed % 2**64], dtype=np.uint64)
    for counter in counters:
        steps = np.atleast_1d(np.asarray(counter, dtype=np.int64)).astype(np.uint64)
        state = _finalise(state + (steps + np.uint64(1)) * _GOLDEN)
    return state


def below(words: WordArray, bound: int) -> IntArray:
    """Return integers in [0, bound), uniform up to bound / 2**32, one for each word.

    The high half of a product: Lemire, "Fast Random Integer Generation in an Interval",
    ACM TOMACS 2019, without its rejection step.
    """
    scaled = (words >> np.uint64(32)) * np.uint64(bound) >> np.uint64(32)
    return scaled.astype(np.int64)


def permutation(seed: int, epoch: int, count: int) -> IntArray:
    """Return the order in which one epoch visits `count` images: a uniform permutation."""
    return np.argsort(draws(seed, ORDER, epoch, np.arange(count)), kind="stable")


def _finalise(z: WordArray) -> WordArray:
    z = (z ^ (z >> np.uint64(30))) * _FIRST
    z = (z ^ (z >> np.uint64(27))) * _SECOND
    return z ^ (z >> np.uint64(31))
