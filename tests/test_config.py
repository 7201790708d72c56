"""A Config as one level of dotted keys."""

from __future__ import annotations

from dataclasses import replace

from vitladder.compose import compose_config
from vitladder.config import flatten


def test_flatten_has_every_setting_once_by_its_dotted_name() -> None:
    config = compose_config([])
    flat = flatten(config)
    assert flat["model.width"] == config.model.width
    assert flat["position.name"] == "sincos2d"
    changed = replace(config, model=replace(config.model, width=64))
    assert {k for k, v in flatten(changed).items() if flat[k] != v} == {"model.width"}
