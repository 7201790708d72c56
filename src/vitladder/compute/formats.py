"""Number formats: what each precision of a run computes and keeps its numbers in."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Format:
    """Bytes of a number between products (`activation`), and of a weight and the residual stream.

    `dtype` is torch's name of the former. Where the sizes differ, products take a copy of the
    weights in the narrower format (autocast).
    """

    dtype: str
    activation: int
    weight: int


FORMATS = {
    "fp32": Format("float32", activation=4, weight=4),
    "bf16": Format("bfloat16", activation=2, weight=4),
}
