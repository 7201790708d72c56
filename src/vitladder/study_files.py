"""Studies: the YAML files of ./sweeps and the package's, read as plain settings."""

from __future__ import annotations

from filecmp import cmp
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from vitladder.errors import UserError


def studies() -> dict[str, list[Path]]:
    """Return the study files by name, the package's and those in ./sweeps.

    Files of the same bytes are one study: an installed package may be used inside a checkout.
    """
    found: dict[str, list[Path]] = {}
    for folder in (Path(str(files("vitladder.sweeps"))), Path.cwd() / "sweeps"):
        for file in sorted(folder.glob("*.yaml")):
            others = found.setdefault(file.stem, [])
            if not any(_alike(file, other) for other in others):
                others.append(file)
    return found


def study_file(name: str) -> Path:
    """Return the file of a study that there is; UserError for two of the name."""
    first, *others = studies()[name]
    if others:
        raise UserError(
            f"two studies are called '{name}': {first} and {others[0]}; rename one of them"
        )
    return first


def _alike(file: Path, other: Path) -> bool:
    return file.is_file() and other.is_file() and cmp(file, other, shallow=False)


def read_study(file: Path) -> dict[str, Any]:
    """Return the settings of a study; UserError for a file that is no mapping of settings."""
    if file.is_fifo():
        raise UserError(f"study {file} is a named pipe; give a file")
    try:
        text = file.read_text(encoding="utf-8")
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text)):
            raise UserError(
                f"study {file} has aliases (*name), which can grow without end; write them out"
            )
        mapping = isinstance(yaml.compose(text), yaml.MappingNode)
        settings = OmegaConf.to_container(OmegaConf.create(text)) if mapping else None
    except UnicodeDecodeError as error:
        raise UserError(f"study {file} is not a text file in UTF-8 (byte {error.start})") from error
    except yaml.MarkedYAMLError as error:
        line = f" in line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise UserError(f"study {file} is not readable YAML: {error.problem}{line}") from error
    except OSError as error:
        raise UserError(f"study {file} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError, yaml.YAMLError, OmegaConfBaseException) as error:
        said = str(error).partition("\n")[0]
        raise UserError(f"study {file} is not readable YAML: {said}") from error
    if not isinstance(settings, dict):
        raise UserError(
            f"study {file} is not a mapping of settings; write KEY: VALUE lines, as those of "
            f"`vitladder train KEY=VALUE`"
        )
    return {str(key): value for key, value in settings.items()}
