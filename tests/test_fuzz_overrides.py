"""Whatever stands on the command line, it is a Config or one line."""

from __future__ import annotations

from anything import is_one_line
from hypothesis import given, settings
from hypothesis import strategies as st

from vitladder.compose import compose_config
from vitladder.config import Config
from vitladder.errors import UserError

KEYS = ["seed", "model.width", "optim.lr", "attention", "attention.backend", "data", "data.path"]
KEYS += ["model", "compute.flops", "compute", "parallel.devices", "position", "study", "nothing"]
VALUES = [
    "1",
    "-1",
    "1e400",
    "nan",
    "null",
    "[]",
    "{}",
    "[1,2]",
    "{a: 1}",
    "sdpa",
    "'a b'",
    "${seed}",
]
VALUES += [
    "${nothing}",
    "${oc.env:HOME}",
    "a,b",
    "range(1,3)",
    "choice(1,2)",
    "true",
    "",
    "@",
    "..",
    "???",
]


def composed(overrides: list[str]) -> None:
    try:
        assert isinstance(compose_config(overrides), Config)
    except UserError as error:
        is_one_line(error)


@given(override=st.text(max_size=20))
@settings(max_examples=60)
def test_arbitrary_text_is_refused_in_one_line(override: str) -> None:
    composed([override])


@given(
    overrides=st.lists(
        st.builds(
            "{}{}={}".format,
            st.sampled_from(["", "", "", "+", "++", "~"]),
            st.sampled_from(KEYS),
            st.one_of(st.sampled_from(VALUES), st.text(max_size=8)),
        ),
        min_size=1,
        max_size=2,
    )
)
@settings(max_examples=60)
def test_settings_are_a_config_or_one_line(overrides: list[str]) -> None:
    composed(overrides)
