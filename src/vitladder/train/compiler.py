"""torch.compile: whether it can make code on this machine, and how it is asked to."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any

import torch

from vitladder.errors import UserError


def compiler_missing(device: str) -> str | None:
    """Return what torch.compile lacks for a device of this type, or None."""
    if device == "cuda":
        return None if find_spec("triton") else "triton, which is not installed here"
    name = os.environ.get("CXX") or ("clang++" if sys.platform == "darwin" else "g++")
    return None if shutil.which(name) else f"a C++ compiler, and there is no {name} on the PATH"


def check_compiler(device: str) -> None:
    """Raise UserError where nothing can be compiled for a device of this type."""
    missing = compiler_missing(device)
    if missing is not None:
        raise UserError(f"compile=true needs {missing}; compile=false needs none")


def prepare_compiler(blocks: Sequence[object]) -> None:
    """Make room for the code of a new model; code that is made too often becomes an error."""
    # The code of runs before this one in the process counts against the limit.
    torch._dynamo.reset()
    torch._dynamo.config.fail_on_recompile_limit_hit = True
    # A block that asks for its own number is compiled for each of them, and for held-out batches.
    torch._dynamo.config.recompile_limit = 8 + 3 * len(blocks)


def compiled(function: Callable[..., Any], how: bool | str) -> Callable[..., Any]:
    """Return a function compiled for the sizes it is called with.

    "max-autotune" times several ways of each product first. CUDA graphs are left out: they hand
    out memory that the next micro-batch would overwrite.
    """
    mode = "max-autotune-no-cudagraphs" if how == "max-autotune" else None
    return torch.compile(function, dynamic=False, mode=mode)
