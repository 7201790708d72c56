"""Builds wrong kernels: a module, or a package of modules, with one line changed."""

from __future__ import annotations

import importlib
import re
import sys
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from types import ModuleType

from vitladder.extend.attention import AttentionKernel

ROOT = Path(__file__).parents[2]
PLUGINS = ROOT / "plugins" / "attention"
_NUMBERS = count()


@dataclass(frozen=True)
class Mutant:
    """A wrong kernel: what is wrong, in which file the old text becomes the new, what sees it."""

    name: str
    file: str
    old: str
    new: str
    caught_by: str
    raises: bool = False
    """Whether it shows by raising, not by a wrong value."""

    def __str__(self) -> str:
        """Return the name, for pytest."""
        return self.name


def build_blocked(folder: Path, mutant: Mutant | None = None) -> AttentionKernel:
    """Return tests/attention/blocked.py's kernel, changed."""
    package = _copy(folder, [Path(__file__).with_name("blocked.py")], mutant)
    kernel: AttentionKernel = _import(folder, f"{package}.blocked").Blocked()
    return kernel


def build_flash(folder: Path, mutant: Mutant | None = None) -> AttentionKernel:
    """Return plugins/attention/flash.py's kernel, changed; it has ops of its own in torch."""
    files = [PLUGINS / "flash.py", *sorted(PLUGINS.glob("_flash_*.py"))]
    package = _copy(folder, files, mutant)
    kernel: AttentionKernel = _import(folder, f"{package}.flash").Flash()
    return kernel


def _copy(folder: Path, files: list[Path], mutant: Mutant | None) -> str:
    """Write the files as a package that imports itself and not the real one; return its name."""
    package = f"mutant{next(_NUMBERS)}"
    (folder / package).mkdir()
    (folder / package / "__init__.py").touch()
    names = {file.name for file in files}
    assert mutant is None or mutant.file in names, f"{mutant.file} is none of {sorted(names)}"
    for file in files:
        source = file.read_text(encoding="utf-8")
        if mutant is not None and mutant.file == file.name:
            assert source.count(mutant.old) >= 1, f"{mutant.name}: {mutant.old!r} is not in {file}"
            source = source.replace(mutant.old, mutant.new)
        source = source.replace("vitladder.plugins.attention", package)
        source = re.sub(r'"vitladder::', f'"{package}::', source)
        source = source.replace("torch.ops.vitladder.", f"torch.ops.{package}.")
        (folder / package / file.name).write_text(source, encoding="utf-8")
    return package


def _import(folder: Path, name: str) -> ModuleType:
    sys.path.insert(0, str(folder))
    try:
        importlib.invalidate_caches()
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(folder))
