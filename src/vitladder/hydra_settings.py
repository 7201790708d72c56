"""Which of Hydra's own settings a study has: its launcher and sweeper, and nothing to execute.

Hydra makes objects of what it finds under `_target_`, and loads callbacks and other folders of
settings by name; here a launcher and a sweeper are chosen by name from those that are installed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.types import Override

from vitladder.errors import UserError, unknown

_OURS = ("launcher", "sweeper")
# What is named under these is imported: by Hydra, and by its Optuna sweeper.
_IMPORTED = ("_target_", "custom_search_space")
# A resolver such as oc.decode could make a mapping, and with it a `_target_`, of a text.
_REFERENCE = re.compile(r"\$\{(?:(?:oc\.env|hydra|now):|[\w./\[\]-]+\})")


def is_hydras(key: str) -> bool:
    """Whether a key is of Hydra's own config, such as its launcher, and none of a run's."""
    return key.split(".")[0].split("/")[0] == "hydra"


def check_override(override: Override) -> None:
    """Raise UserError for a setting of Hydra's that could choose code, and a name there is not."""
    key, written = override.key_or_group, str(override.input_line)
    chooses = "/" in key
    path = key.replace("/", ".").split(".")[1:]
    if override.package is not None or (len(path) < 2 and not chooses):
        raise _refused(written)
    _check(path, written, written)
    if path[:2] == ["sweeper", "params"]:
        raise UserError(f"'{written}': what is swept is written as it is: KEY=VALUE,VALUE")
    if chooses and (override.is_add() or override.is_delete()):
        raise UserError(f"'{written}': one of a group is always chosen; write {key}=NAME")
    if not chooses:
        return
    have = GlobalHydra.instance().config_loader().get_group_options(key)
    if str(override.value()) not in have:
        raise unknown(key, str(override.value()), have)


def check_part(settings: Any) -> None:
    """Raise UserError for what is under `hydra` in a study, where it could choose code."""
    if not isinstance(settings, dict):
        raise UserError("'hydra' has a launcher and a sweeper, each with its options below it")
    for path, value in _leaves(settings, ()):
        _check(path, ".".join(("hydra", *path)), str(value))
        if len(path) < 2 and value not in (None, {}):
            raise _refused(f"hydra.{path[0]}: {value}")
    params = (settings.get("sweeper") or {}).get("params")
    if params is not None and not isinstance(params, dict):
        raise UserError("hydra.sweeper.params has lines of KEY: VALUE,VALUE, which are swept")
    for key, values in (params or {}).items():
        if values is None or str(values).strip() == "":
            raise UserError(f"hydra.sweeper.params: {key} has no values; give some, as 1,2,3")


def check_choice(group: str, name: str) -> None:
    """Raise UserError for a group of Hydra's that a study cannot choose from."""
    if group not in [f"hydra/{part}" for part in _OURS]:
        raise _refused(group)
    have = GlobalHydra.instance().config_loader().get_group_options(group)
    if name not in have:
        raise unknown(group, name, have)


def _check(path: list[str] | tuple[str, ...], key: str, text: str) -> None:
    names = (*path, text)
    if path[0] not in _OURS or any(word in name for word in _IMPORTED for name in names):
        raise _refused(key)
    if len(_REFERENCE.findall(text)) != text.count("${"):
        raise UserError(f"'{key}' may refer to ${{KEY}} and ${{oc.env:NAME}}, and to nothing else")


def _leaves(settings: Any, above: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(settings, dict) and (settings or not above):
        for key, value in settings.items():
            yield from _leaves(value, (*above, str(key)))
    else:
        yield above, settings


def _refused(key: str) -> UserError:
    return UserError(
        f"'{key}' is not taken: of Hydra's own settings there are hydra/launcher=NAME and "
        f"hydra/sweeper=NAME, and below them the options of these, but nothing that names code"
    )
