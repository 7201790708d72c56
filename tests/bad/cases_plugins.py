"""Plugins that cannot be, or do not give what their contract says, and what is said of each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bad_runs import Case

HEAD = """
from dataclasses import dataclass
import torch
from vitladder.extend.attention import AttentionKernel
from vitladder.extend.position import PositionEncoding
"""
KERNEL = (
    HEAD
    + """
@dataclass(frozen=True)
class Mine(AttentionKernel):
    def __call__(self, q, k, v, **rest):
        {body}
"""
)
ENCODING = (
    HEAD
    + """
@dataclass(frozen=True)
class Mine(PositionEncoding):
    {body}
"""
)
TRAIN = ("train", "model=micro-8", "compute.steps=1", "logger=csv")


def plugin(text: str, kind: str = "attention", name: str = "mine") -> Callable[[], None]:
    """A plugin of the user's own, in ./plugins."""

    def write() -> None:
        folder = Path("plugins", kind)
        folder.mkdir(parents=True)
        (folder / f"{name}.py").write_text(text)

    return write


def of_file(
    name: str, text: str, *says: str, called: str = "mine", kind: str = "attention"
) -> Case:
    """A file that no plugin can be read from."""
    command = (*TRAIN, f"{kind}={called}")
    return Case(name, plugin(text, kind, called), command, (f"{called}.py", *says))


def of_kernel(name: str, body: str, *says: str, settings: tuple[str, ...] = ()) -> Case:
    """A kernel that is read, and is wrong when it is called."""
    command = (*TRAIN, "attention=mine", *settings)
    return Case(name, plugin(KERNEL.format(body=body)), command, ("attention=mine", *says))


def of_encoding(name: str, body: str, *says: str) -> Case:
    """An encoding that is read, and is wrong when it is called."""
    command = (*TRAIN, "position=mine")
    return Case(
        name, plugin(ENCODING.format(body=body), "position"), command, ("position=mine", *says)
    )


FILES = [
    of_file("a syntax error", "class Mine(:\n", "line 1"),
    of_file("an error at import", "raise ValueError('no')\n", "no"),
    of_file(
        "a missing module",
        "import no_such_module\n" + KERNEL.format(body="return v"),
        "no_such_module",
    ),
    of_file("no class", "X = 1\n", "class"),
    of_file("a class of its own kind", "class Mine:\n    pass\n", "AttentionKernel"),
    of_file(
        "two kernels",
        KERNEL.format(body="return v") + KERNEL.format(body="return v").replace("Mine", "Other"),
        "exactly one public class",
        "Mine, Other",
    ),
    of_file(
        "an option without a default",
        KERNEL.format(body="return v").replace("def", "radius: int\n    def"),
        "radius",
        "default",
    ),
    of_file(
        "an option of a foreign type",
        KERNEL.format(body="return v").replace("def", "table: torch.Tensor = None\n    def"),
        "table",
    ),
    of_file("an encoding among kernels", ENCODING.format(body="pass"), "AttentionKernel"),
    of_file(
        "a kernel among encodings",
        KERNEL.format(body="return v"),
        "PositionEncoding",
        kind="position",
    ),
    of_file("an empty file", "", "class"),
    Case(
        "the name of a kernel of the package",
        plugin(KERNEL.format(body="return v"), name="sdpa"),
        (*TRAIN, "attention=sdpa"),
        ("sdpa", "two"),
    ),
    Case(
        "an option that it does not have",
        plugin(KERNEL.format(body="return v")),
        (*TRAIN, "attention=mine", "attention.radius=2"),
        ("radius", "attention=mine"),
    ),
    Case(
        "text for its number",
        plugin(KERNEL.format(body="return v").replace("def", "radius: int = 2\n    def")),
        (*TRAIN, "attention=mine", "attention.radius=wide"),
        ("attention.radius", "wide"),
    ),
]

OUTPUTS = [
    of_kernel("a wrong shape", "return v[..., :-1]", "[1, 1, 5, 7]", "must be [1, 1, 5, 8]"),
    of_kernel("a wrong dtype", "return v.double()", "float64", "must be", "float32"),
    of_kernel(
        "a wrong dtype in bf16", "return v.float()", "bfloat16", settings=("precision=bf16",)
    ),
    of_kernel("nothing", "pass", "gives nothing", "must give a tensor [1, 1, 5, 8]"),
    of_kernel("a pair", "return v, v", "gives a tuple"),
    of_kernel("another device", "return v.to('meta')", "on meta", "on cpu"),
    of_kernel(
        "an error", "raise RuntimeError('it broke')", "RuntimeError: it broke", "plugins check"
    ),
    of_kernel("a matrix of shapes that do not fit", "return q @ k @ v", "raises RuntimeError"),
    of_encoding(
        "tokens of another width",
        "def embed(self, tokens, grid): return tokens[..., :-1]",
        *("embed", "[1, 16, 7]", "must be [1, 16, 8]"),
    ),
    of_encoding(
        "one of q and k",
        "def rotate(self, q, k, grid, layer): return q",
        "rotate",
        "pair of q and k",
    ),
    of_encoding(
        "a bias of the wrong size",
        "def bias(self, grid, heads, device): return torch.zeros(1, heads, 3, 3)",
        *("bias", "[1, 1, 3, 3]", "must be [1, 1, 16, 16]"),
    ),
    of_encoding(
        "an encoding that raises",
        "def embed(self, tokens, grid): return tokens + self.table",
        *("embed raises AttributeError", "table"),
    ),
]

PLUGINS = [*FILES, *OUTPUTS]
