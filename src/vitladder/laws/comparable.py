"""Which runs one law may pool: those that differ in size, compute and seed alone.

Runs with another learning rate, attention or data set look like other seeds of one N and D, but
a law through them would be that of neither.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from vitladder.errors import one_line
from vitladder.run_key import LATER, NOT_SCIENTIFIC
from vitladder.runs.record import Record

SIZE = ("model.width", "model.depth", "model.heads", "model.kv_heads", "model.mlp_ratio")
VARIES = (*SIZE, "compute", "seed", *NOT_SCIENTIFIC)
SHARING = "model.heads / model.kv_heads"
DATA = "environment.data"  # the fingerprint of images and labels, which data.path does not tell
SHOWN_KEYS, SHOWN_VALUES = 3, 4
LONGEST = 24  # characters of a value; of a longer one, such as a fingerprint, 12 are shown

Settings = Mapping[str, Any]


def difference(records: Sequence[Record]) -> str | None:
    """What keeps these runs from sharing a law, as one line of keys and values, or None.

    A setting that a record does not hold counts as null.
    """
    settings = [_settings(record) for record in records]
    differing = _differing(settings)
    if not differing:
        return None
    shown = [
        f"{one_line(key)} ({_values(records, settings, key)})" for key in differing[:SHOWN_KEYS]
    ]
    more = len(differing) - len(shown)
    named = ", ".join(shown) + (f" and {more} more settings" if more else "")
    return f"one law is over size, compute and seed alone, and these runs differ in {named}"


def groups(records: Sequence[Record]) -> dict[str, list[Record]]:
    """Runs that may share a law, together, under what sets them apart: "attention.name=naive".

    One group without a name where nothing does. Options of one plugin that the others do not have
    are left out of the names where the plugin's name says enough.
    """
    found: dict[str, list[Record]] = {}
    for record, name in zip(records, names(records, among=records), strict=True):
        found.setdefault(name, []).append(record)
    return found


def names(records: Sequence[Record], *, among: Sequence[Record]) -> list[str]:
    """What each record is of what sets those apart that it is named among."""
    telling = _telling([_settings(record) for record in among])
    return [
        ", ".join(f"{one_line(key)}={_text(settings.get(key))}" for key in telling)
        for settings in map(_settings, records)
    ]


def _telling(settings: Sequence[Settings]) -> list[str]:
    """The keys that differ, without those that a plugin's name says already."""
    telling = _differing(settings)
    for kind in ("attention", "position"):
        if f"{kind}.name" in telling:
            telling = [
                key
                for key in telling
                if not key.startswith(f"{kind}.")
                or key == f"{kind}.name"
                or _varies_within(settings, f"{kind}.name", key)
            ]
    return telling


def _differing(settings: Sequence[Settings]) -> list[str]:
    """The keys that have several values, those of names first."""
    keys = sorted(set().union(*settings), key=lambda key: (not key.endswith("name"), key))
    return [key for key in keys if len(_distinct(settings, key)) > 1]


def _varies_within(settings: Sequence[Settings], name: str, key: str) -> bool:
    """Whether runs of one plugin differ in this option of it."""
    plugins = _distinct(settings, name)
    return any(
        len(_distinct([one for one in settings if one.get(name) == plugin], key)) > 1
        for plugin in plugins
    )


def _settings(record: Record) -> dict[str, Any]:
    """The run's settings that must be the same throughout a law, by dotted key."""
    config = {
        key: value
        for key, value in flat(record.config)
        if not _varies(key) and (key not in LATER or value != LATER[key])
    }
    if config.get("tune"):
        # What such a run asks for is not what it was trained in.
        config["precision.name"] = record.environment.get("precision")
    return config | _sharing(record) | {DATA: record.environment.get("data")}


def _sharing(record: Record) -> dict[str, Any]:
    """How many heads of queries share one of keys and values, which size alone does not change."""
    model = record.config.get("model") or {}
    heads, kv_heads = model.get("heads"), model.get("kv_heads")
    return {SHARING: heads / kv_heads if heads and kv_heads else 1}


def flat(node: Settings, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The settings of a record's config under their dotted names."""
    for key, value in node.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _varies(key: str) -> bool:
    return key in VARIES or key.partition(".")[0] in VARIES


def _distinct(settings: Sequence[Settings], key: str) -> list[Any]:
    """The different values of a key: numbers ascending, then the others by their text."""
    found: list[Any] = []
    for one in settings:
        if one.get(key) not in found:
            found.append(one.get(key))
    return sorted(found, key=_order)


def _order(value: Any) -> tuple[bool, float, str]:
    is_number = isinstance(value, int | float)
    return not is_number, float(value) if is_number else 0.0, _text(value)


def _values(records: Sequence[Record], settings: Sequence[Settings], key: str) -> str:
    """Each value of a key and the runs that have it: a single run by its name."""
    values = _distinct(settings, key)
    shown = []
    for value in values[:SHOWN_VALUES]:
        keys = [
            record.run_key
            for record, one in zip(records, settings, strict=True)
            if one.get(key) == value
        ]
        who = f"{len(keys)} runs" if len(keys) > 1 else f"run {keys[0]}"
        shown.append(f"{_text(value)} in {who}")
    more = len(values) - len(shown)
    return ", ".join(shown) + (f" and {more} more values" if more else "")


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return one_line(text) if len(text) <= LONGEST else f"{one_line(text[:12])}..."
