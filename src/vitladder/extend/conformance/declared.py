"""Reads a plugin's named exceptions from its source, without importing it."""

from __future__ import annotations

import ast
from pathlib import Path


def read_exceptions(file: Path) -> dict[str, str]:
    """Return the literal `exceptions` of the public class in a plugin's file: rule to reason."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            for item in node.body:
                value = _exceptions(item)
                if value is not None:
                    return {str(rule): str(reason) for rule, reason in value.items()}
    return {}


def _exceptions(item: ast.stmt) -> dict[object, object] | None:
    targets = item.targets if isinstance(item, ast.Assign) else [getattr(item, "target", None)]
    named = any(isinstance(t, ast.Name) and t.id == "exceptions" for t in targets)
    value = item.value if isinstance(item, ast.Assign | ast.AnnAssign) else None
    if not named or value is None:
        return None
    try:
        literal = ast.literal_eval(value)
    except ValueError:
        return {"(not literal)": ast.unparse(value)}
    return literal if isinstance(literal, dict) else None
