"""Turns command-line overrides into Configs, with Hydra; what is wrong is said in one line.

Hydra composes and does not construct: the outcome is plain data, checked against the schema.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import fields
from difflib import get_close_matches
from filecmp import cmp
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any, get_type_hints

from hydra import compose, initialize_config_module
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from vitladder.config import Config
from vitladder.errors import UserError, unknown
from vitladder.extend import registry
from vitladder.validation import validate

CONFIG_MODULE = "vitladder.conf"
_PARSER = OverridesParser.create()
_HERE = ("BasicLauncher", "JoblibLauncher", "LocalLauncher", "RayLauncher")


def register(overrides: Sequence[str]) -> None:
    """Make plugins the options of `attention` and `position`, and the chosen study that of `sweep`.

    Plugins and studies of the working folder (./plugins, ./sweeps) are found beside the package's.
    """
    store = ConfigStore.instance()
    for kind in registry.KINDS:
        for name, plugin in registry.discover(kind).items():
            options = plugin.declaration().options.items()
            node = {"name": name, **{key: option.default for key, option in options}}
            store.store(group=kind, name=name, node=node)
    known = studies()
    for name in (item.removeprefix("+sweep=") for item in overrides):
        if name in known:
            store.store(group="sweep", name=name, node=_study(name), package="_global_")


def studies() -> dict[str, list[Path]]:
    """Return the study files by name, the package's and those in ./sweeps.

    Files of the same bytes are one study: an installed package may be used inside a checkout.
    """
    found: dict[str, list[Path]] = {}
    for folder in (Path(str(files("vitladder.sweeps"))), Path.cwd() / "sweeps"):
        for file in sorted(folder.glob("*.yaml")):
            others = found.setdefault(file.stem, [])
            if not any(cmp(file, other, shallow=False) for other in others):
                others.append(file)
    return found


def compose_config(overrides: Sequence[str]) -> Config:
    """Return the validated Config of one run; UserError says in one line what is wrong."""
    return from_hydra(_compose(overrides))


def compose_jobs(overrides: Sequence[str]) -> list[list[str]]:
    """Return the overrides of every run of a multirun, as Hydra's basic sweeper makes them.

    Raises UserError for overrides that Hydra cannot parse or compose.
    """
    swept = [f"{key}={value}" for key, value in _study_sweeps(overrides).items()]
    try:
        batches = BasicSweeper.split_arguments(parse([*swept, *overrides]), None)
    except HydraException as error:
        raise UserError(_one_line(error)) from error
    return [list(job) for batch in batches for job in batch]


def check_is_one_run(overrides: Sequence[str], command: str) -> None:
    """Raise UserError where the chosen study makes several runs, which needs a multirun."""
    swept = _study_sweeps(overrides)
    if swept:
        raise UserError(
            f"{command}: the study sweeps {' and '.join(swept)}, which are several runs; add -m: "
            f"vitladder {shlex.join([command, '-m', *overrides])}"
        )


def lists_its_runs(overrides: Sequence[str]) -> bool:
    """Whether the chosen sweeper has a list of runs; one that searches, as optuna, has none."""
    composed = _compose(fixed_overrides(overrides), with_hydra=True)
    return str(composed.hydra.sweeper._target_).endswith("BasicSweeper")


def trains_elsewhere(overrides: Sequence[str]) -> bool:
    """Whether the chosen launcher takes the runs of a multirun to other machines."""
    composed = _compose(fixed_overrides(overrides), with_hydra=True)
    return not str(composed.hydra.launcher._target_).endswith(_HERE)


def fixed_overrides(overrides: Sequence[str]) -> list[str]:
    """Return the overrides that give one value, without those that give several to sweep.

    Raises UserError where several studies are given.
    """
    parsed = parse(overrides)
    _check_one_study(parsed)
    return [
        item
        for item, override in zip(overrides, parsed, strict=True)
        if not override.is_sweep_override()
    ]


def from_hydra(composed: DictConfig) -> Config:
    """Return composed Hydra data as a Config: strictly typed, unknown keys refused, validated."""
    try:
        data = OmegaConf.to_container(composed, resolve=True)
        if not isinstance(data, dict):
            raise UserError("the composed config is not a mapping")
        data.pop("hydra", None)
        return to_config(OmegaConf.merge(OmegaConf.structured(Config), data))
    except OmegaConfBaseException as error:
        raise UserError(f"{error.full_key or 'config'}: {_one_line(error)}") from error


def to_config(typed: DictConfig | ListConfig) -> Config:
    """Return data that has the schema's types as a validated Config, its plugins' options checked.

    Raises UserError for what no run could have, OmegaConf's errors for a value that is missing.
    """
    config = OmegaConf.to_object(typed)
    if not isinstance(config, Config):
        raise UserError("the composed config is not a Config")
    for kind in registry.KINDS:
        node: dict[str, Any] = getattr(config, kind)
        options = {key: value for key, value in node.items() if key != "name"}
        registry.check_options(kind, str(node.get("name")), options)
    return validate(config)


def _study_sweeps(overrides: Sequence[str]) -> dict[str, str]:
    """Return what the chosen study sweeps and the command line does not set."""
    composed = _compose(fixed_overrides(overrides), with_hydra=True)
    given = {override.key_or_group for override in parse(overrides)}
    params = composed.hydra.sweeper.params or {}
    return {str(key): str(value) for key, value in params.items() if key not in given}


def _compose(overrides: Sequence[str], *, with_hydra: bool = False) -> DictConfig:
    register(overrides)
    try:
        with initialize_config_module(CONFIG_MODULE, version_base="1.3"):
            _check_names(parse(overrides))
            _check_plugin_options(overrides)
            return compose("config", overrides=list(overrides), return_hydra_config=with_hydra)
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(_one_line(error)) from error


def parse(overrides: Sequence[str]) -> list[Override]:
    """Return the overrides as Hydra understands them; UserError where it does not."""
    try:
        return [_parse_one(item) for item in overrides]
    except HydraException as error:
        raise UserError(f"{_one_line(error)}; settings are given as KEY=VALUE") from error


@lru_cache(maxsize=4096)
def _parse_one(item: str) -> Override:
    return _PARSER.parse_override(item)


def is_group(key: str) -> bool:
    """Whether a key chooses a file, as data=parquet does, and does not set one value."""
    return key in _group_names()


def refers(overrides: Sequence[str]) -> bool:
    """Whether any value of the composed config, as it is written, refers to another."""
    composed = OmegaConf.to_container(_compose(overrides), resolve=False)
    return "${" in json.dumps(composed, default=str)


def is_hydras(key: str) -> bool:
    """Whether a key is of Hydra's own config, such as its launcher, and none of a run's."""
    return key.split(".")[0].split("/")[0] == "hydra"


@lru_cache(maxsize=1)
def _group_names() -> frozenset[str]:
    return frozenset(_groups())


def _check_names(overrides: Sequence[Override]) -> None:
    """Raise UserError, with the nearest right name, for a group, option or key there is not."""
    _check_one_study(overrides)
    groups = _groups()
    for override in overrides:
        key = override.key_or_group
        if is_hydras(key):
            continue
        if key in groups:
            _check_choice(override, groups[key])
        elif override.is_add() or override.is_delete():
            raise UserError(
                f"'{override.input_line}': settings can be changed, not added or deleted; "
                f"only a study is added, as +sweep=NAME"
            )
        else:
            _check_key(key)


def _check_choice(override: Override, options: list[str]) -> None:
    group = override.key_or_group
    if group != "sweep" and (override.is_add() or override.is_delete()):
        raise UserError(f"'{override.input_line}': write {group}=NAME")
    if group == "sweep" and not override.is_add():
        raise UserError(f"'{override.input_line}': a study is added with a plus: +{group}=NAME")
    if override.is_sweep_override():
        return
    name = str(override.value())
    kind = {"attention": "attention plugin", "position": "position plugin", "sweep": "study"}
    if name not in options:
        raise unknown(kind.get(group, f"choice of {group}"), name, options)


def _check_one_study(overrides: Sequence[Override]) -> None:
    chosen = [override for override in overrides if override.key_or_group == "sweep"]
    if len(chosen) > 1 or any(override.is_sweep_override() for override in chosen):
        given = " ".join(str(override.input_line) for override in chosen)
        raise UserError(
            f"'{given}': a command has one study, whose settings and runs are its own; call it "
            f"once for each: +sweep=NAME"
        )


def _check_plugin_options(overrides: Sequence[str]) -> None:
    """Raise UserError for an option that the chosen plugin does not have."""
    for kind in registry.KINDS:
        given = [item for item in overrides if item.startswith(f"{kind}.")]
        if not given:
            continue
        rest = [item for item in overrides if item not in given]
        name = str(compose("config", overrides=rest)[kind].name)
        have = registry.find(kind, name).declaration().options
        for item in given:
            option = parse([item])[0].key_or_group.partition(".")[2]
            if option not in have:
                raise unknown(f"option of {kind}={name} called", option, have)


def _groups() -> dict[str, list[str]]:
    groups = {
        folder.name: [file.stem for file in Path(str(folder)).glob("*.yaml")]
        for folder in Path(str(files(CONFIG_MODULE))).iterdir()
        if folder.is_dir() and any(folder.glob("*.yaml"))
    }
    groups |= {kind: list(registry.discover(kind)) for kind in registry.KINDS}
    groups["sweep"] = list(studies())
    return groups


def _check_key(key: str) -> None:
    schema: Any = Config
    parts = key.split(".")
    for depth, part in enumerate(parts):
        names = [field.name for field in fields(schema)]
        if part not in names:
            where = ".".join(parts[:depth])
            have = [f"{where}.{name}" if where else name for name in names]
            near = get_close_matches(".".join(parts[: depth + 1]), have, n=1)
            hint = f"; did you mean '{near[0]}'?" if near else ";"
            raise UserError(
                f"no setting '{key}'{hint} ({where or 'there'} has: {', '.join(names)})"
            )
        schema = get_type_hints(schema)[part]
        if not hasattr(schema, "__dataclass_fields__"):
            return


def _study(name: str) -> Any:
    found = studies()[name]
    if len(found) > 1:
        raise UserError(f"two studies are called '{name}': {found[0]} and {found[1]}")
    try:
        return OmegaConf.to_container(OmegaConf.load(found[0]))
    except (OSError, ValueError, YAMLError, OmegaConfBaseException) as error:
        raise UserError(f"study {found[0]} is not readable YAML: {_one_line(error)}") from error


def _one_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if lines and lines[0].startswith("Ambiguous value for argument"):
        return f"{lines[0].rstrip('.')}: several values are a multirun, which needs -m"
    return lines[0] if lines else type(error).__name__
