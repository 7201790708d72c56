"""What a mapping must hold to be a record, so that what reads it can rely on its kinds.

Little is required, as records of other versions, and of other programs, are welcome; but what is
there must be what its name says, and text must fit on a line.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

from vitladder.errors import shown

STATUSES = ("complete", "diverged", "failed", "interrupted")
SECTIONS = ("config", "plan", "results", "environment", "times", "forecast")

_NUMBERS = {
    "plan": ("n_params", "flops", "flops_target", "images", "steps"),
    "times": ("seconds",),
    "forecast": ("seconds",),
}
_MAPPINGS = {
    "config": ("model", "attention", "position", "data", "optim", "logger"),
    "environment": ("versions",),
}
_COUNTS_OF_MODEL = ("width", "depth", "heads", "kv_heads")
_LINES = ("run_key", "study")

Data = Mapping[str, Any]


def wrong_field(data: Data, results: type[Any]) -> str | None:
    """What keeps a mapping from being a record, or None; `results` is the class of its results."""
    return next(_faults(data, results), None)


def _faults(data: Data, results: type[Any]) -> Iterator[str]:
    if not isinstance(data.get("run_key"), str):
        yield "run_key is not a string"
    yield from _texts(data)
    if data.get("status") not in STATUSES:
        yield f"status is {shown(data.get('status'))}, not one of {', '.join(STATUSES)}"
    for name in SECTIONS:
        if data.get(name) is not None and not isinstance(data[name], dict):
            yield f"{name} is not a mapping"
    measured = {"results": tuple(one.name for one in fields(results))}
    for section, names in {**_NUMBERS, **measured}.items():
        yield from _not_numbers(data.get(section) or {}, section, names)
    for section, names in _MAPPINGS.items():
        yield from _not_mappings(data.get(section) or {}, section, names)
    model = (data.get("config") or {}).get("model") or {}
    yield from _not_numbers(model, "config.model", _COUNTS_OF_MODEL)


def _texts(data: Data) -> Iterator[str]:
    for name in (*_LINES, "command", "error"):
        text = data.get(name)
        if text is not None and not isinstance(text, str):
            yield f"{name} is not a string"
        elif name in _LINES and text and not text.isprintable():
            yield f"{name} is {shown(text)}, not one line of text"


def _not_numbers(section: Data, where: str, names: tuple[str, ...]) -> Iterator[str]:
    for name in names:
        value = section.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float | None):
            yield f"{where}.{name} is {shown(value)}, not a number"


def _not_mappings(section: Data, where: str, names: tuple[str, ...]) -> Iterator[str]:
    for name in names:
        if section.get(name) is not None and not isinstance(section[name], dict):
            yield f"{where}.{name} is {shown(section[name])}, not a mapping"
