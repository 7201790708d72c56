"""Whether the groups, choices and keys of settings exist; the nearest that does is named if not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from difflib import get_close_matches
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any, get_type_hints

from hydra.core.override_parser.types import Override

from vitladder.config import Config
from vitladder.errors import UserError, unknown
from vitladder.extend import registry
from vitladder.hydra_settings import check_override, is_hydras
from vitladder.study_files import studies

CONFIG_MODULE = "vitladder.conf"
_KINDS = {"attention": "attention plugin", "position": "position plugin", "sweep": "study"}


def is_group(key: str) -> bool:
    """Whether a key chooses a file, as data=parquet does, and does not set one value."""
    return key in _group_names()


def groups() -> dict[str, list[str]]:
    """Return the names that each group has, plugins and studies of the working folder too."""
    found = {
        folder.name: [file.stem for file in Path(str(folder)).glob("*.yaml")]
        for folder in Path(str(files(CONFIG_MODULE))).iterdir()
        if folder.is_dir() and any(folder.glob("*.yaml"))
    }
    found |= {kind: list(registry.discover(kind)) for kind in registry.KINDS}
    found["sweep"] = list(studies())
    return found


def check_names(overrides: Sequence[Override]) -> None:
    """Raise UserError, with the nearest right name, for a group, option or key there is not."""
    check_one_study(overrides)
    known = groups()
    for override in overrides:
        key = override.key_or_group
        if is_hydras(key):
            check_override(override)
        elif override.package is not None:
            raise UserError(f"'{override.input_line}': a setting has one place; write {key}=VALUE")
        elif key in known:
            _check_chosen(override, known[key])
        elif override.is_add() or override.is_delete():
            raise UserError(
                f"'{override.input_line}': settings can be changed, not added or deleted; "
                f"only a study is added, as +sweep=NAME"
            )
        else:
            check_key(key)


def check_one_study(overrides: Sequence[Override]) -> None:
    """Raise UserError where several studies, or launchers, are given."""
    for override in overrides:
        if is_hydras(override.key_or_group) and override.is_sweep_override():
            raise UserError(
                f"'{override.input_line}': all runs of a command have one launcher and sweeper, "
                f"with the same options; give one value"
            )
    chosen = [override for override in overrides if override.key_or_group == "sweep"]
    if len(chosen) > 1 or any(override.is_sweep_override() for override in chosen):
        given = " ".join(str(override.input_line) for override in chosen)
        raise UserError(
            f"'{given}': a command has one study, whose settings and runs are its own; call it "
            f"once for each: +sweep=NAME"
        )


def check_choice(group: str, name: str, options: Sequence[str]) -> None:
    """Raise UserError, with the nearest right name, for a name that a group does not have."""
    if name not in options:
        raise unknown(_KINDS.get(group, f"choice of {group}"), name, options)


def check_key(key: str) -> None:
    """Raise UserError, with the nearest right one, for a key that is no setting."""
    schema: Any = Config
    parts = key.split(".")
    for depth, part in enumerate(parts):
        names = [field.name for field in fields(schema)]
        if part not in names:
            where = ".".join(parts[:depth])
            have = [f"{where}.{name}" if where else name for name in names]
            near = get_close_matches(".".join(parts[: depth + 1]), have, n=1)
            meant = ".".join([*near, *parts[depth + 1 :]])
            hint = f"; did you mean '{meant}'?" if near else ""
            raise UserError(
                f"no setting '{key}'{hint} ({where or 'a run'} has: {', '.join(names)})"
            )
        schema = get_type_hints(schema)[part]
        if not hasattr(schema, "__dataclass_fields__"):
            return


def _check_chosen(override: Override, options: list[str]) -> None:
    group, written = override.key_or_group, str(override.input_line)
    if group != "sweep" and (override.is_add() or override.is_delete()):
        raise UserError(f"'{written}': one of a group is always chosen; write {group}=NAME")
    if group == "sweep" and not override.is_add():
        raise UserError(f"'{written}': a study is added with a plus: +{group}=NAME")
    if override.is_sweep_override():
        return
    if isinstance(override.value(), dict):
        raise UserError(
            f"'{written}': {group}=NAME chooses a file of settings; one of them is set as "
            f"{group}.KEY=VALUE"
        )
    check_choice(group, str(override.value()), options)


@lru_cache(maxsize=1)
def _group_names() -> frozenset[str]:
    return frozenset(groups())
