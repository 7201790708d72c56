"""A matrix product: its FLOPs, the bytes it must move, and what else is one.

1 multiply-add = 2 FLOPs. Bytes are the compulsory traffic: every operand is read once and the
product is written once, as if caches held everything in between.
"""

from __future__ import annotations

from dataclasses import dataclass

from vitladder.errors import UserError


@dataclass(frozen=True)
class Gemm:
    """`batch` products of an [m, k] with a [k, n] matrix."""

    m: int
    k: int
    n: int
    batch: int = 1

    @property
    def flops(self) -> int:
        """2 m k n for each product."""
        return 2 * self.batch * self.m * self.k * self.n

    @property
    def elements(self) -> int:
        """Elements of both operands and of the product: m k + k n + m n for each product."""
        return self.batch * (self.m * self.k + self.k * self.n + self.m * self.n)

    def bytes_moved(self, element_size: int) -> int:
        """Return the compulsory traffic in bytes, for elements of so many bytes."""
        return element_size * self.elements

    def intensity(self, element_size: int) -> float:
        """Return the arithmetic intensity 2 m k n / (s (m k + k n + m n)) in FLOP/byte."""
        return self.flops / self.bytes_moved(element_size)

    @property
    def left_gradient(self) -> Gemm:
        """The product that gives the gradient of the left operand: [m, n] with [n, k]."""
        return Gemm(self.m, self.n, self.k, self.batch)

    @property
    def right_gradient(self) -> Gemm:
        """The product that gives the gradient of the right operand: [k, m] with [m, n]."""
        return Gemm(self.k, self.m, self.n, self.batch)


def convolution(
    images: int,
    size: tuple[int, int],
    channels: int,
    filters: int,
    kernel: tuple[int, int],
    *,
    stride: int = 1,
    padding: int = 0,
) -> Gemm:
    """Return a convolution as its im2col product (Chellapilla et al. 2006).

    A row of the left operand is the patch under the kernel, a column of the right one a filter;
    with stride = kernel the patches do not overlap, which is a ViT's patch embedding. `size` is
    rows and columns of the images. Raises UserError for a kernel that is larger than the image.
    """
    places = 1
    for length, width in zip(size, kernel, strict=True):
        steps = length + 2 * padding - width
        if steps < 0:
            raise UserError(f"a kernel of {width} does not fit an image of {length}, {padding=}")
        places *= steps // stride + 1
    return Gemm(m=images * places, k=channels * kernel[0] * kernel[1], n=filters)


def low_rank_parameters(rows: int, columns: int, rank: int) -> int:
    """Return the parameters of [rows, rank] times [rank, columns], as in LoRA (Hu et al. 2021)."""
    return rank * (rows + columns)
