"""Reads a plugin's class and typed options from its source, without importing it."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vitladder.errors import UserError, unknown

_TYPES: dict[str, tuple[type, ...]] = {
    "bool": (bool,),
    "int": (int,),
    "float": (float, int),
    "str": (str,),
    "None": (type(None),),
}


@dataclass(frozen=True)
class Option:
    """One field of a plugin's class: its annotation as written, and its default."""

    annotation: str
    default: Any


@dataclass(frozen=True)
class Declaration:
    """What a plugin's source says of itself."""

    class_name: str
    summary: str
    options: dict[str, Option]


def read_declaration(file: Path) -> Declaration:
    """Return the one public class of a plugin file, the first line of its docstring, its fields.

    Raises UserError for a syntax error, for none or several public classes, and for a field
    without a literal default or with a type other than bool, int, float, str, None, Literal.
    """
    try:
        tree = ast.parse(file.read_text(encoding="utf-8"))
    except SyntaxError as error:
        line = "" if error.lineno is None else f", line {error.lineno},"
        raise UserError(f"plugin {file}{line} cannot be read: {error.msg}") from error
    except (ValueError, OSError, RecursionError, MemoryError) as error:
        raise UserError(f"plugin {file} cannot be read: {error}") from error
    classes = [
        node
        for node in tree.body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    ]
    if len(classes) != 1:
        names = ", ".join(node.name for node in classes) or "none"
        raise UserError(f"plugin {file} must have exactly one public class (it has: {names})")
    [node] = classes
    documentation = ast.get_docstring(node) or ast.get_docstring(tree) or ""
    return Declaration(
        class_name=node.name,
        summary=documentation.partition("\n")[0],
        options=dict(_fields(node, file)),
    )


def check_value(key: str, annotation: str, value: Any) -> None:
    """Raise UserError unless the value is of the type that the annotation names."""
    if annotation.startswith("Literal["):
        choices = ast.literal_eval(f"({annotation[8:-1]},)")
        if value not in choices:
            raise unknown(f"{key} called", str(value), [str(choice) for choice in choices])
        return
    allowed = tuple(kind for part in _parts(annotation) for kind in _TYPES[part])
    if not isinstance(value, allowed) or (isinstance(value, bool) and bool not in allowed):
        raise UserError(f"{key}={value!r} must be of type {annotation}")


def _fields(node: ast.ClassDef, file: Path) -> list[tuple[str, Option]]:
    return [
        _field(item, item.target.id, file)
        for item in node.body
        if isinstance(item, ast.AnnAssign)
        and isinstance(item.target, ast.Name)
        and not item.target.id.startswith("_")
        and not ast.unparse(item.annotation).startswith("ClassVar")
    ]


def _field(item: ast.AnnAssign, name: str, file: Path) -> tuple[str, Option]:
    where = f"plugin {file}, line {item.lineno}: {name}"
    annotation = ast.unparse(item.annotation)
    if name == "name":
        raise UserError(f"{where} is the plugin's own name; call the option otherwise")
    if not _is_option_type(item.annotation):
        raise UserError(
            f"{where}: {annotation} is no option type; use bool, int, float, str, None with |, or "
            f"Literal['a', 'b']"
        )
    default = ... if item.value is None else _literal(item.value)
    if default is ...:
        raise UserError(f"{where} needs a literal default, such as 1 or 'auto'")
    try:
        check_value(name, annotation, default)
    except UserError as error:
        raise UserError(f"{where} has a default of another type: {error}") from error
    return name, Option(annotation, default)


def _is_option_type(annotation: ast.expr) -> bool:
    if isinstance(annotation, ast.Subscript) and ast.unparse(annotation.value) == "Literal":
        return _literal(annotation.slice) is not ...
    return set(_parts(ast.unparse(annotation))) <= set(_TYPES)


def _literal(node: ast.expr) -> Any:
    """The value of a literal; ... for any other expression."""
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return ...


def _parts(annotation: str) -> list[str]:
    return [part.strip() for part in annotation.split("|")]
