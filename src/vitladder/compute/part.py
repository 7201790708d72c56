"""Part: one kind of operation in a training step, with its FLOPs and bytes in both directions.

Bytes are compulsory traffic: every input is read once and every output written once. What an
implementation reads again, pads, copies or keeps in a cache is not in it, so a measured time is
explained by an efficiency, not by other bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vitladder.compute.gemm import Gemm


@dataclass(frozen=True)
class Work:
    """FLOPs, and bytes moved between memory and the processor."""

    flops: int
    bytes_moved: int

    @property
    def intensity(self) -> float | None:
        """The arithmetic intensity in FLOP/byte; None where nothing is moved."""
        return self.flops / self.bytes_moved if self.bytes_moved else None


@dataclass(frozen=True)
class Part:
    """One kind of operation in a step, all layers summed.

    `element_size` is the bytes of an element in its arithmetic, which says whose peak it has: a
    kernel may multiply in float32 under bfloat16.
    """

    name: str
    kind: Literal["matmul", "element-wise"]
    element_size: int
    forward: Work
    backward: Work


def product(
    name: str, gemm: Gemm, element_size: int, count: int = 1, *, left_gradient: bool = True
) -> Part:
    """Return `count` equal products, whose right operands are learned.

    The backward is two products of the same sizes, or one without the left operand's gradient.
    """
    forward = Work(count * gemm.flops, count * gemm.bytes_moved(element_size))
    return matmul(name, forward, element_size, gradients=2 if left_gradient else 1)


def matmul(name: str, forward: Work, element_size: int, gradients: int = 2) -> Part:
    """Return a product of known work; each operand's gradient is a product of the same sizes."""
    backward = Work(gradients * forward.flops, gradients * forward.bytes_moved)
    return Part(name, "matmul", element_size, forward, backward)


def element_wise(
    name: str, flops: int, element_size: int, forward_bytes: int, backward_bytes: int
) -> Part:
    """Return a part without products.

    Its backward counts as many FLOPs as its forward, the convention of Clark et al. 2020 (ELECTRA,
    flops_computation.py), as its traffic, not its arithmetic, sets its time.
    """
    backward = Work(flops, backward_bytes)
    return Part(name, "element-wise", element_size, Work(flops, forward_bytes), backward)
