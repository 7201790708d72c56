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
ATTENDS = "return (v, q[..., 0].float()) if rest.get('return_lse') else v"
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


def with_option(name: str, option: str, *says: str) -> Case:
    """A kernel of which this option cannot be one."""
    text = KERNEL.format(body="return v").replace("def", f"{option}\n    def")
    return of_file(f"an option: {name}", text, *says)


def with_method(name: str, method: str, *says: str) -> Case:
    """A kernel that attends, with another method that is wrong."""
    text = KERNEL.format(body=ATTENDS) + f"    {method}\n"
    return Case(name, plugin(text), (*TRAIN, "attention=mine"), says)


FILES = [
    of_file("a syntax error", "class Mine(:\n", "line 1"),
    of_file("brackets without end", "(" * 500 + "\n", "line 1", "too many nested parentheses"),
    of_file("a NUL", "\0", "null bytes"),
    of_file(
        "an error at import",
        HEAD + "raise ValueError('by the author')\n" + KERNEL.format(body="return v"),
        *("cannot be imported", "ValueError: by the author"),
    ),
    of_file(
        "an end at import",
        "raise SystemExit('bye')\n" + KERNEL.format(body="return v"),
        *("cannot be imported", "SystemExit: bye"),
    ),
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
        *("line 9", "table", "torch.Tensor", "bool, int, float, str"),
    ),
    with_option("a list", "sizes: list[int] = [1]", "sizes", "list[int]", "Literal"),
    with_option("a default of another type", "radius: int = 'b'", "radius='b'", "type int"),
    with_option("a default that is no choice", "mode: Literal['a'] = 'b'", "mode", "'b'", "a"),
    with_option("a choice that is no literal", "mode: Literal[torch] = 1", "Literal[torch]"),
    with_option("a default that is a call", "radius: int = len('a')", "radius", "literal default"),
    with_option("a default that is no value", "radius: int = {[]: 1}", "radius", "literal default"),
    with_option("its own name", "name: str = 'a'", "line 9", "the plugin's own name"),
    of_file(
        "no __call__",
        HEAD + "@dataclass(frozen=True)\nclass Mine(AttentionKernel):\n    radius: int = 1\n",
        *("Mine must define __call__",),
    ),
    of_file(
        "options that it refuses itself",
        KERNEL.format(body="return v")
        + "    def __post_init__(self):\n        raise ValueError('not\\nthese')\n",
        *("attention=mine refuses its options", "not these"),
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
    of_kernel("an end", "raise SystemExit('bye')", "raises SystemExit: bye"),
    of_kernel("no log-sum-exp", "return v", "return_lse=True", "pair of output and log-sum-exp"),
    of_kernel(
        "a log-sum-exp of another shape",
        "return (v, v) if rest.get('return_lse') else v",
        *("log-sum-exp", "[1, 1, 5, 8]", "must be [1, 1, 5]"),
    ),
    of_kernel(
        "a log-sum-exp in 16 bits",
        "return (v, v[..., 0]) if rest.get('return_lse') else v",
        *("log-sum-exp", "bfloat16", "must be [1, 1, 5] of float32"),
        settings=("precision=bf16",),
    ),
    with_method(
        "supports that raises",
        "def supports(self, spec): raise ValueError('by the author')",
        *("attention=mine: supports raises ValueError: by the author", "mine.py, line 11"),
    ),
    with_method(
        "supports that says yes",
        "def supports(self, spec): return True",
        *("attention=mine: supports gives True", "None, or why not"),
    ),
    with_method(
        "a run that it does not serve",
        "def supports(self, spec): return 'it is of Sundays'",
        *("attention=mine cannot serve this run", "it is of Sundays"),
    ),
    with_method(
        "FLOPs that raise",
        "def flops(self, shape): raise ValueError('by the author')",
        *("attention=mine: flops raises ValueError: by the author", "mine.py, line 11"),
    ),
    with_method(
        "FLOPs that are text",
        "def flops(self, shape): return 'many'",
        *("flops of the kernel Mine", "AttentionFlops(scores, values)"),
    ),
    with_method(
        "bytes that are text",
        "def saved_bytes(self, shape, size): return 'many'",
        *("attention=mine: saved_bytes gives 'many'", "whole number"),
    ),
    with_method(
        "a place that is none",
        "def placed(self, grid, prefix): raise ValueError('by the author')",
        *("attention=mine: placed raises ValueError",),
    ),
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
    of_encoding(
        "a bias in 64 bits",
        "def bias(self, grid, heads, device): return torch.zeros(1, heads, 16, 16).double()",
        *("bias", "float64", "must be", "float32"),
    ),
    of_encoding(
        "parameters that raise",
        "def parameters(self, shape): raise ValueError('by the author')",
        *("parameters raises ValueError: by the author", "mine.py, line 9"),
    ),
    of_encoding(
        "a tokens' shape that it does not serve",
        "def supports(self, shape): return False",
        *("supports gives False", "None, or why not"),
    ),
    Case(
        "parameters that are no tensors",
        plugin(ENCODING.format(body="def parameters(self, shape): return 3"), "position"),
        (*TRAIN, "position=mine"),
        ("parameters of the encoding Mine gives 3", "a dict of tensors"),
    ),
]

PLUGINS = [*FILES, *OUTPUTS]
