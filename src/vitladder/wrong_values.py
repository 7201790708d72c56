"""Says in plain words what OmegaConf finds wrong with a value."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

from omegaconf import Node
from omegaconf.errors import (
    ConfigKeyError,
    MissingMandatoryValue,
    OmegaConfBaseException,
    ValidationError,
)

from vitladder.config import Config
from vitladder.errors import UserError, shown
from vitladder.setting_names import check_key, is_group

_KINDS: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "a text",
    NoneType: "null",
    list: "a list of numbers, as [0.9,0.99]",
    dict: "options, as attention.NAME=VALUE",
}
_REFERENCES = {
    r"Interpolation key '(.*)' not found": "refers to '{0}', and there is no such setting",
    r".*Environment variable '(.*)' not found.*": (
        "refers to the environment variable {0}, which is not set"
    ),
    r"Unsupported interpolation type (.*)": (
        "refers to '{0}:', which there is not; write ${{KEY}}, or ${{oc.env:NAME}}"
    ),
    r"Recursive interpolation.*": "refers to itself; give a value",
}


@contextmanager
def in_plain_words(settings: Mapping[str, Any]) -> Iterator[None]:
    """Raise UserError for what OmegaConf finds wrong with these settings in the block."""
    try:
        yield
    except ConfigKeyError as error:
        check_key(str(error.full_key))
        raise _explained(error) from error
    except OmegaConfBaseException as error:
        raise _explained(error) from error
    except OverflowError as error:
        raise _too_large(settings) from error


def _explained(error: OmegaConfBaseException) -> UserError:
    """Return the error that says which setting is wrong, and what would be right."""
    key, said = str(error.full_key or "config"), (str(error).splitlines() or [""])[0]
    for pattern, words in _REFERENCES.items():
        if (found := re.fullmatch(pattern, said)) is not None:
            return UserError(f"{key} {words.format(*found.groups())}")
    if isinstance(error, MissingMandatoryValue):
        return UserError(f"{key} has no value; give {key}=VALUE")
    wanted = _type_of(key)
    if not isinstance(error, ValidationError) or wanted is None:
        return UserError(f"{key}: {said}")
    written = f"{key}={_written(error.value)}"
    if is_dataclass(wanted):
        return UserError(f"{written} is impossible; {_parts(key, wanted)}")
    return UserError(f"{written} is impossible; it must be {_words(wanted)}")


def _too_large(settings: Mapping[str, Any]) -> UserError:
    """Return the error for an integer that no number of the machine can hold."""
    for key, value in _leaves(settings, ""):
        if isinstance(value, int) and abs(value) >= 10**308:
            return UserError(f"{key}={shown(value)} is too large; a number is below 1e308")
    return UserError("a number is too large; it must be below 1e308")


def check_sections(settings: dict[str, Any]) -> None:
    """Raise UserError for one value in the place of several, of which OmegaConf keeps no key."""
    for key, value in settings.items():
        wanted = _type_of(key)
        if is_dataclass(wanted) and not isinstance(value, dict):
            raise UserError(f"{key}={_written(value)} is impossible; {_parts(key, wanted)}")


def _parts(key: str, wanted: Any) -> str:
    """Say what is in a section, and how a group's file is chosen."""
    one = f"{key} has several settings, as {key}.{fields(wanted)[0].name}"
    file = (
        f"a file of them is chosen as {key}=NAME, in a study as defaults: [override /{key}: NAME]"
    )
    return f"{one}; {file}" if is_group(key) else one


def _leaves(settings: Any, key: str) -> Iterator[tuple[str, Any]]:
    if isinstance(settings, dict):
        for name, value in settings.items():
            yield from _leaves(value, f"{key}.{name}" if key else str(name))
    elif isinstance(settings, list):
        for value in settings:
            yield from _leaves(value, key)
    else:
        yield key, settings


def _type_of(key: str) -> Any:
    """The type of a setting in the schema, None for what has none."""
    kind: Any = Config
    for part in key.split("."):
        name, _, index = part.partition("[")
        kind = get_type_hints(kind).get(name) if is_dataclass(kind) else None
        if index:
            kind = next(iter(get_args(kind)), None)
    return kind


def _words(kind: Any) -> str:
    if isinstance(kind, UnionType):
        return " or ".join(_words(part) for part in get_args(kind))
    return _KINDS[get_origin(kind) or kind]


def _written(value: Any) -> str:
    """A value as it stands on the command line."""
    value = value._value() if isinstance(value, Node) else value
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return shown(value)
