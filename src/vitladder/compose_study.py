"""Composes the runs of a study: Hydra once for runs alike, then only the values that differ.

Hydra takes some hundredths of a second a run, which a study of hundreds feels. Runs that choose
the same files and set the same keys differ in values alone, and a value is put where it belongs
by the same typed config that checks it after Hydra. Where a value refers to another one, every run
is composed by Hydra.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import deepcopy

from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from vitladder.compose import compose_config, parse, refers, to_config
from vitladder.config import Config
from vitladder.errors import UserError
from vitladder.hydra_settings import is_hydras
from vitladder.setting_names import is_group

_Key = tuple[str, ...]


def compose_study(jobs: Sequence[Sequence[str]]) -> Iterator[Config]:
    """Yield the validated Config of every run, given its overrides; equal to compose_config's.

    Raises UserError, in one line, as compose_config does.
    """
    known: dict[_Key, DictConfig | None] = {}
    for job in jobs:
        overrides = parse(job)
        alike = tuple(_structure(override) for override in overrides)
        if alike not in known:
            config = compose_config(job)
            known[alike] = None if refers(job) else OmegaConf.structured(config)
            yield config
        else:
            yield _with_values(known[alike], overrides, job)


def _structure(override: Override) -> str:
    """What of an override decides how the config is put together: all of it, or its key alone."""
    line = str(override.input_line)
    plain = override.package is None and not override.is_add() and not override.is_delete()
    # A mapping is merged with what is there, which is not what another run was given.
    if is_group(override.key_or_group) or not plain or isinstance(override.value(), dict):
        return line
    return override.key_or_group


def _with_values(
    alike: DictConfig | None, overrides: Sequence[Override], job: Sequence[str]
) -> Config:
    if alike is None:
        return compose_config(job)
    config = deepcopy(alike)
    try:
        for override in overrides:
            key = override.key_or_group
            if not is_group(key) and not is_hydras(key):
                OmegaConf.update(config, key, override.value(), merge=True)
        return to_config(config)
    except (OmegaConfBaseException, UserError):
        # What is wrong is said by the usual way.
        return compose_config(job)
