"""Case: everything that is free in one call of an attention kernel."""

from __future__ import annotations

from dataclasses import dataclass

from vitladder.extend.attention import AttentionShape, AttentionSpec

DTYPES = ("float32", "bfloat16", "float16")
SEQS = (1, 2, 15, 16, 17, 64, 65, 197, 257, 521)
HEAD_DIMS = (64, 16, 32, 72, 80, 88, 96, 104, 128)
LAYOUTS = ("contiguous", "transposed", "packed", "padded", "dmajor", "strided", "expanded")
GRAD_LAYOUTS = ("contiguous", "transposed", "padded", "constant")
BIASES: tuple[tuple[str | None, str], ...] = (
    (None, "none"),
    ("BHMN", "none"),
    ("1HMN", "none"),
    ("B1MN", "none"),
    ("11MN", "none"),
    ("MN", "none"),
    ("BH1N", "none"),
    ("N", "none"),
    ("BHM1", "none"),
    ("H11", "none"),
    ("", "none"),
    ("BHMN", "scattered"),
    ("1HMN", "rows"),
    ("B11N", "keys"),
)
"""Broadcast shape of the bias, by letters, and which of its entries are -inf."""

GRIDS = {
    1: (1, 1, 0),
    2: (1, 1, 1),
    15: (3, 5, 0),
    16: (4, 4, 0),
    17: (4, 4, 1),
    64: (8, 8, 0),
    65: (8, 8, 1),
    197: (14, 14, 1),
    257: (16, 16, 1),
    521: (20, 26, 1),
}
"""Rows, columns and prefix tokens that make a sequence of this length."""


@dataclass(frozen=True)
class Case:
    """One call: q is [batch, heads, queries, head_dim], k and v have `keys` rows.

    scale=None is the default; wide_bias is one of float32 beside 16-bit q, as a learned
    one is under autocast; logits is "normal", "large" (about 100), or "high" and "low" (near
    +1e4 and -1e4); lse says whether the log-sum-exp is asked for and has a gradient.
    """

    dtype: str = "float32"
    batch: int = 2
    heads: int = 2
    queries: int = 17
    keys: int = 17
    head_dim: int = 64
    layout: str = "contiguous"
    grad_layout: str = "contiguous"
    bias: str | None = None
    mask: str = "none"
    bias_grad: bool = True
    wide_bias: bool = False
    causal: bool = False
    scale: float | None = None
    logits: str = "normal"
    lse: bool = True
    placed: bool = False

    def __str__(self) -> str:
        """Return the case in one line."""
        size = f"{self.batch}x{self.heads}x{self.queries}x{self.keys}x{self.head_dim}"
        words = [self.dtype, size, self.layout, f"dO {self.grad_layout}"]
        if self.bias is not None:
            words.append(f"bias [{','.join(self.bias)}]")
        words += ["float32 bias"] * self.wide_bias
        words += [f"-inf {self.mask}"] * (self.mask != "none") + ["causal"] * self.causal
        words += [f"scale {self.scale}"] * (self.scale is not None)
        words += [f"{self.logits} logits"] * (self.logits != "normal") + ["lse"] * self.lse
        return " ".join(words)

    @property
    def cost(self) -> float:
        """About how long the case takes: programs and blocks of 64 x 64 scores, for ordering."""
        blocks = -(-self.queries // 64) * -(-self.keys // 64)
        return self.batch * self.heads * (blocks + 0.5)

    @property
    def shape(self) -> AttentionShape:
        """The sizes, with the places of the tokens where the case has them."""
        rows, columns, prefix = GRIDS[self.keys] if self.placed else (0, 0, 0)
        return AttentionShape(
            self.batch, self.heads, self.queries, self.keys, self.head_dim, (rows, columns), prefix
        )

    def spec(self, device: str) -> AttentionSpec:
        """Return what the case asks of a kernel."""
        biased = self.bias is not None
        return AttentionSpec(
            device,
            self.dtype,
            self.head_dim,
            bias=biased,
            bias_grad=biased and self.bias_grad,
            causal=self.causal,
        )

    @property
    def needs(self) -> tuple[str, ...]:
        """The inputs that require a gradient."""
        return ("q", "k", "v", "bias") if self.bias_grad else ("q", "k", "v")

    def bias_shape(self) -> tuple[int, ...] | None:
        """Return the bias's shape, None for no bias."""
        sizes = {"B": self.batch, "H": self.heads, "M": self.queries, "N": self.keys, "1": 1}
        return None if self.bias is None else tuple(sizes[letter] for letter in self.bias)
