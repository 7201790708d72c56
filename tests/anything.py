"""Strategies for tests of readers: any JSON, and sound data with something else in places."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import strategies as st

from vitladder.errors import UserError


def is_one_line(error: UserError) -> None:
    """What the command prints of it is one line."""
    assert "\n" not in str(error)


# Halves of surrogate pairs too, which JSON can write and UTF-8 cannot.
any_text = st.text(st.characters(exclude_categories=()), max_size=12)
numbers = st.one_of(
    st.integers(),
    st.floats(),
    st.sampled_from([0, -1, 10**400, -(10**30), 1e308, 5e-324, True]),
)
scalars = st.one_of(st.none(), st.booleans(), numbers, any_text)
any_json = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(any_text, inner, max_size=3)
    ),
    max_leaves=6,
)


@st.composite
def mutated(draw: st.DrawFn, sound: dict[str, Any]) -> dict[str, Any]:
    """Sound nested data of which up to three values are others, or are not there."""
    data = copy.deepcopy(sound)
    for _ in range(draw(st.integers(1, 3))):
        mapping, key = draw(st.sampled_from(list(_places(data))))
        if draw(st.booleans()):
            mapping[key] = draw(any_json)
        else:
            mapping.pop(key, None)
    return data


def _places(data: dict[str, Any]) -> list[tuple[dict[str, Any], str]]:
    found = [(data, key) for key in data]
    for value in data.values():
        if isinstance(value, dict):
            found += _places(value)
    return found or [(data, "new")]


@st.composite
def mutated_bytes(draw: st.DrawFn, sound: bytes) -> bytes:
    """Bytes of which some stretch is others, or is not there."""
    start = draw(st.integers(0, len(sound)))
    length = draw(st.integers(0, 12))
    put = draw(st.one_of(st.binary(max_size=8), st.sampled_from([b"\0", b"\n", b'"', b",", b"{"])))
    return sound[:start] + put + sound[start + length :]
