"""Turns command-line overrides into Configs, with Hydra; what is wrong is said in one line.

Hydra composes and does not construct: the outcome is plain data, checked against the schema.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from hydra import compose, initialize_config_module
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from vitladder.config import Config
from vitladder.errors import UserError, shown, unknown
from vitladder.extend import registry
from vitladder.secrets_kept import check_no_secret
from vitladder.setting_names import CONFIG_MODULE, check_names, check_one_study
from vitladder.study_check import check_study
from vitladder.study_files import read_study, studies, study_file
from vitladder.sweep_size import check_sweeps
from vitladder.validation import validate
from vitladder.wrong_values import in_plain_words

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
            node = read_study(study_file(name))
            store.store(group="sweep", name=name, node=node, package="_global_")


def compose_config(overrides: Sequence[str]) -> Config:
    """Return the validated Config of one run; UserError says in one line what is wrong."""
    return from_hydra(_compose(overrides))


def compose_jobs(overrides: Sequence[str]) -> list[list[str]]:
    """Return the overrides of every run of a multirun, as Hydra's basic sweeper makes them.

    Raises UserError for overrides that Hydra cannot parse or compose.
    """
    swept = [f"{key}={value}" for key, value in _study_sweeps(overrides).items()]
    parsed = parse([*swept, *overrides])
    check_sweeps(parsed)
    try:
        batches = BasicSweeper.split_arguments(parsed, None)
    except HydraException as error:
        raise UserError(_one_line(error)) from error
    jobs = [list(job) for batch in batches for job in batch]
    if not jobs:
        raise UserError(
            f"there is no run in {shlex.join(overrides)}: what it sweeps has no values; give some, "
            f"as seed=0,1,2"
        )
    return jobs


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
    return not _launcher(overrides).endswith(_HERE)


def trains_side_by_side(overrides: Sequence[str]) -> bool:
    """Whether the chosen launcher trains the runs of a multirun in workers of this command."""
    return _launcher(overrides).endswith("JoblibLauncher")


def _launcher(overrides: Sequence[str]) -> str:
    composed = _compose(fixed_overrides(overrides), with_hydra=True)
    return str(composed.hydra.launcher._target_)


def fixed_overrides(overrides: Sequence[str]) -> list[str]:
    """Return the overrides that give one value, without those that give several to sweep.

    Raises UserError where several studies are given.
    """
    parsed = parse(overrides)
    check_one_study(parsed)
    return [
        item
        for item, override in zip(overrides, parsed, strict=True)
        if not override.is_sweep_override()
    ]


def from_hydra(composed: DictConfig) -> Config:
    """Return composed Hydra data as a Config: strictly typed, unknown keys refused, validated."""
    with in_plain_words({}):
        resolved = OmegaConf.to_container(composed, resolve=True)
    if not isinstance(resolved, dict):
        raise UserError("the composed config is not a mapping")
    data = {str(key): value for key, value in resolved.items() if key != "hydra"}
    check_no_secret(data)
    with in_plain_words(data):
        return to_config(OmegaConf.merge(OmegaConf.structured(Config), data))


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
            check_names(parse(overrides))
            _check_chosen_study(overrides)
            _check_plugin_options(overrides)
            return compose("config", overrides=list(overrides), return_hydra_config=with_hydra)
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(_one_line(error)) from error


def _check_chosen_study(overrides: Sequence[str]) -> None:
    """Raise UserError for what is wrong in the file of the study, before Hydra makes use of it."""
    known = studies()
    for name in (item.removeprefix("+sweep=") for item in overrides):
        if name in known:
            file = study_file(name)
            check_study(file, read_study(file))


def parse(overrides: Sequence[str]) -> list[Override]:
    """Return the overrides as Hydra understands them; UserError where it does not."""
    check_no_secret(list(overrides), "the command")
    return [_parse_one(item) for item in overrides]


@lru_cache(maxsize=4096)
def _parse_one(item: str) -> Override:
    try:
        return _PARSER.parse_override(item)
    except ValueError as error:
        raise UserError(f"{shown(item)} is not a setting: its number is too long") from error
    except HydraException as error:
        # What the grammar would have liked instead is of no use to people.
        raise UserError(
            f"{shown(item)} is not a setting; settings are given as KEY=VALUE, quotes and brackets "
            f"closed; a text of many kinds of signs has quotes: \"data.path='my files'\""
        ) from error


def refers(overrides: Sequence[str]) -> bool:
    """Whether any value of the composed config, as it is written, refers to another."""
    composed = OmegaConf.to_container(_compose(overrides), resolve=False)
    return "${" in json.dumps(composed, default=str)


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


def _one_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if len(lines) > 1 and lines[0].endswith("raised while composing config:"):
        keys = [line.removeprefix("full_key: ") for line in lines if line.startswith("full_key: ")]
        return ": ".join([lines[0].partition(":")[0], *keys, lines[1]])
    if lines and (found := re.fullmatch(r"Could not override '(hydra\..*)'\.", lines[0])):
        return (
            f"no option '{found[1]}' of the launcher and sweeper that are chosen; each has its own "
            f"(hydra/launcher=NAME, hydra/sweeper=NAME)"
        )
    if lines and lines[0].startswith("Error merging override") and error.__cause__ is not None:
        why = str(error.__cause__).partition("\n")[0]
        return f"{lines[0].removeprefix('Error merging override ')}: {why}"
    if lines and lines[0].startswith("Ambiguous value for argument"):
        return f"{lines[0].rstrip('.')}: several values are a multirun, which needs -m"
    return lines[0] if lines else type(error).__name__
