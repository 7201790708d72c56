"""Whether a study's file has only settings that there are: each wrong one is said with its file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from vitladder import hydra_settings
from vitladder.config import Config
from vitladder.errors import UserError
from vitladder.secrets_kept import check_no_secret
from vitladder.setting_names import check_choice, check_key, groups
from vitladder.wrong_values import check_sections, in_plain_words

_DEFAULTS = (
    "'defaults' is a list of lines `- override /GROUP: NAME`, as `- override /data: parquet`"
)


def check_study(file: Path, settings: dict[str, Any]) -> None:
    """Raise UserError for a key, a value or a choice that no run could have."""
    try:
        check_no_secret(settings)
        rest = {key: value for key, value in settings.items() if key not in ("defaults", "hydra")}
        _check_values(rest)
        hydra_settings.check_part(settings.get("hydra", {}))
        _check_swept(settings.get("hydra", {}))
        _check_defaults(settings.get("defaults", []))
    except UserError as error:
        raise UserError(f"study {file}: {error}") from error


def _check_values(settings: dict[str, Any]) -> None:
    for key in settings:
        check_key(key)
    with in_plain_words(settings):
        check_sections(settings)
        OmegaConf.merge(OmegaConf.structured(Config), settings)


def _check_swept(settings: dict[str, Any]) -> None:
    known = groups()
    for key in (settings.get("sweeper") or {}).get("params") or {}:
        if key not in known and not hydra_settings.is_hydras(str(key)):
            check_key(str(key))


def _check_defaults(defaults: Any) -> None:
    if not isinstance(defaults, list):
        raise UserError(_DEFAULTS)
    known = groups()
    for line in defaults:
        if line == "_self_":
            continue
        if not isinstance(line, dict) or len(line) != 1:
            raise UserError(f"{line!r} is no choice; {_DEFAULTS}")
        [(written, name)] = line.items()
        group = str(written).removeprefix("override").strip().removeprefix("/")
        if hydra_settings.is_hydras(group):
            hydra_settings.check_choice(group, str(name))
        elif group not in known or group == "sweep" or not str(written).startswith("override /"):
            raise UserError(f"'{written}: {name}' is no choice; {_DEFAULTS}")
        else:
            check_choice(group, str(name), known[group])
