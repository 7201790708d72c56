"""Whether torch.compile can make code on this machine."""

from __future__ import annotations

import os
import shutil
import sys
from importlib.util import find_spec

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
