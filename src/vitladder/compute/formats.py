"""Number formats: what each precision of a run computes and keeps its numbers in."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Format:
    """Bytes of a number between products (`activation`), and of a weight and the residual stream.

    `dtype` is torch's name of the former. Where the sizes differ, products take a copy of the
    weights in the narrower format (autocast). `peak` is the name of the products' peak, as data
    sheets and `vitladder bench --machine` have it.
    """

    dtype: str
    activation: int
    weight: int
    peak: str


FORMATS = {
    "fp32": Format("float32", activation=4, weight=4, peak="fp32"),
    "tf32": Format("float32", activation=4, weight=4, peak="tf32"),
    "bf16": Format("bfloat16", activation=2, weight=4, peak="bf16"),
    "bf16_true": Format("bfloat16", activation=2, weight=2, peak="bf16"),
    "fp16": Format("float16", activation=2, weight=4, peak="fp16"),
    "fp64": Format("float64", activation=8, weight=8, peak="fp64"),
}

# What `vitladder bench --machine` measures: a CPU's fp16 products are some 50 times slower.
MEASURED = ("fp32", "bf16")


def peak_names(precision: str) -> dict[int, str]:
    """Return the names of a run's peaks by bytes of an element.

    They are that of its own products, and float32's for kernels that multiply in it.
    """
    form = FORMATS[precision]
    return {4: "fp32", form.activation: form.peak}
