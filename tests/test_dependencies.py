"""What the source imports is what pyproject.toml asks for: an empty environment suffices."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

# Triton comes with torch where there is one, and attention=flash says so where there is none; the
# conformance kit is a plugin of pytest, which whoever calls it that way has.
OPTIONAL = ("triton", "pytest")
CHECKOUT = Path(__file__).parents[1]


def imported(folder: Path) -> set[str]:
    """The top-level names that the Python files of a folder import."""
    names: set[str] = set()
    for file in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module.partition(".")[0])
    return names - set(sys.stdlib_module_names) - {"vitladder", *OPTIONAL}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def declared() -> set[str]:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = [*project["dependencies"], *project["optional-dependencies"]["dashboard"]]
    found = (re.match(r"[A-Za-z0-9._-]+", line) for line in asked)
    return {normal(match.group()) for match in found if match}


def test_every_import_is_a_declared_dependency() -> None:
    owners = packages_distributions()
    names = imported(CHECKOUT / "src") | imported(CHECKOUT / "plugins")
    assert {"torch", "numpy", "PIL", "yaml", "omegaconf", "pyarrow"} <= names
    left = {name for name in names if not {normal(o) for o in owners[name]} & declared()}
    assert left == set()


def test_every_declared_dependency_is_imported_or_launched() -> None:
    owners = packages_distributions()
    names = imported(CHECKOUT / "src") | imported(CHECKOUT / "plugins")
    used = {normal(owner) for name in names for owner in owners[name]}
    # sweeps/*.yaml name the launcher; no code imports it.
    assert declared() - used == {"hydra-joblib-launcher"}


def test_every_dependency_has_a_lower_bound() -> None:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert [line for line in project["dependencies"] if ">=" not in line] == []
