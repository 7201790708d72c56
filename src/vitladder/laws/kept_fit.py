"""What fit.json must hold for a decision to rest on it, found before anything is computed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from vitladder.errors import shown

LETTERS = ("E", "A", "alpha", "B", "beta")
_RUNS = ("basis.n_params", "basis.images")
_CALLED = ((dict, "a mapping"), (list, "a list"), (str, "text"))
_GROUPS = ("attention", "position", "data", "optim", "schedule", "precision")  # that models share


def damage(data: Mapping[str, Any]) -> str | None:
    """What is missing or of the wrong kind in a fit that was read, or None.

    A fit without a law that splits compute needs nothing more: it says why it has none.
    """
    return next(_faults(data), None)


def _faults(data: Mapping[str, Any]) -> Iterator[str]:
    yield from _wrong(data, "laws", dict)
    yield from _wrong(data, "reasons", dict, none=True)
    yield from _wrong(data, "laws.parametric", dict, none=True)
    law = data["laws"].get("parametric")
    if law is None or law.get("a") is None:
        return
    yield from _of_the_law(data)
    yield from _of_its_runs(data)
    yield from _of_the_config(data)


def _of_the_law(data: Mapping[str, Any]) -> Iterator[str]:
    for letter in LETTERS:
        yield from _wrong(data, f"laws.parametric.params.{letter}", int, float)
        if data["laws"]["parametric"]["params"][letter] < 0:
            yield f"laws.parametric.params.{letter} is below 0"
    yield from _wrong(data, "laws.parametric.flops_per_param_image", int, float)
    if not _is_positive(data["laws"]["parametric"]["flops_per_param_image"]):
        yield "laws.parametric.flops_per_param_image is not above 0"
    yield from _wrong(data, "laws.parametric.terms", list)
    terms = data["laws"]["parametric"]["terms"]
    if len(terms) != 2 or not all(isinstance(term, str) for term in terms):
        yield f"laws.parametric.terms is {shown(terms)}, not two columns"
    yield from _wrong(data, "laws.parametric.frontier", list)
    points = data["laws"]["parametric"]["frontier"]
    if not all(isinstance(one, dict) and _is_positive(one.get("flops")) for one in points):
        yield "laws.parametric.frontier is not a list of points"
    if all(one.get("extrapolated", True) for one in points):
        yield "laws.parametric.frontier has no point within the runs"
    yield from _wrong(data, "target", str)
    yield from _wrong(data, "study", str)
    yield from _wrong(data, "scales", dict)
    if not all(_is_positive(scale) for scale in data["scales"].values()):
        yield "scales are not all numbers above 0"


def _of_its_runs(data: Mapping[str, Any]) -> Iterator[str]:
    yield from _wrong(data, "basis.noise", int, float)
    for name in (*_RUNS, "basis.draws"):
        yield from _wrong(data, name, list)
    basis = data["basis"]
    for name in _RUNS:
        if not all(_is_positive(value) for value in _at(data, name)):
            yield f"{name} is not a list of numbers above 0"
    if not basis["n_params"] or len(basis["n_params"]) != len(basis["images"]):
        yield "basis.n_params and basis.images are not of the same runs"
    for draw in basis["draws"]:
        if (
            not isinstance(draw, list)
            or len(draw) != len(LETTERS)
            or not all(map(_is_number, draw))
        ):
            yield f"basis.draws has {shown(draw)}, not {len(LETTERS)} numbers"


def _of_the_config(data: Mapping[str, Any]) -> Iterator[str]:
    if data.get("config") is None:
        return
    yield from _wrong(data, "config", dict)
    for name in ("width", "depth"):
        yield from _wrong(data, f"config.model.{name}", int)
        if data["config"]["model"][name] < 1:
            yield f"config.model.{name} is {shown(data['config']['model'][name])}, not positive"
    for group in _GROUPS:
        yield from _wrong(data, f"config.{group}", dict, none=True)


def _wrong(data: Mapping[str, Any], path: str, *kinds: type, none: bool = False) -> Iterator[str]:
    """What is wrong with the value at a dotted name."""
    value = _at(data, path)
    if (value is None and none) or (isinstance(value, kinds) and not isinstance(value, bool)):
        return
    wanted = next((word for kind, word in _CALLED if kind in kinds), "a number")
    yield f"{path} is missing" if value is None else f"{path} is {shown(value)}, not {wanted}"


def _at(data: Mapping[str, Any], path: str) -> Any:
    value: Any = data
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _is_positive(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
