"""Keys and tokens stay in the environment: a setting that holds one is refused, and not shown."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from vitladder.errors import UserError

_NAMED = ("_API_KEY", "_TOKEN", "_SECRET", "_PASSWORD")
_LEAST = 8


def check_no_secret(settings: Any, where: str = "") -> None:
    """Raise UserError where a text of settings has the value of a variable such as WANDB_API_KEY.

    Also where it refers to the variable.

    Settings are written into config.yaml, records, logs and the page.
    """
    secrets = {
        value: name
        for name, value in os.environ.items()
        if name.endswith(_NAMED) and len(value) >= _LEAST
    }
    for key, text in _texts(settings, where):
        for value, name in secrets.items():
            if value in text or ("oc.env" in text and name in text):
                raise UserError(
                    f"{key} holds the value of the variable {name}, and settings are written down; "
                    f"leave it in the environment, where it is found"
                )


def _texts(settings: Any, where: str) -> Iterator[tuple[str, str]]:
    if isinstance(settings, dict):
        for key, value in settings.items():
            yield from _texts(value, f"{where}.{key}" if where else str(key))
    elif isinstance(settings, list | tuple):
        for value in settings:
            yield from _texts(value, where)
    elif isinstance(settings, str):
        yield where, settings
