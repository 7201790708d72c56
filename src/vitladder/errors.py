"""The one exception that means "the input is wrong", so that the command can say it in one line."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class UserError(Exception):
    """Bad input: the message is one line that says what is wrong, where, and what would be right.

    The command prints the message alone, without a traceback, and exits with code 2.
    """

    def __init__(self, *said: str) -> None:
        """Keep what is said on one line, whatever names and values it shows."""
        super().__init__(*(one_line(text) for text in said))


_MANY = 20
_LONGEST = 40  # characters of a value


def unknown(kind: str, name: str, have: Iterable[str]) -> UserError:
    """Return the error for a name that does not exist, with the nearest names that do."""
    known = sorted(have)
    near = get_close_matches(name, known, n=1 if len(known) <= _MANY else 3)
    hint = f"; did you mean {' or '.join(repr(other) for other in near)}?" if near else ""
    listed = ", ".join(known) if len(known) <= _MANY else f"{len(known)} names"
    return UserError(f"no {kind} '{name}'{hint} (have: {listed or 'none'})")


def shown(value: object) -> str:
    """A value as part of a message: its beginning where it is long."""
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def one_line(text: str) -> str:
    """Text of a file as part of a message: on one line, and nothing that a terminal would obey."""
    return "".join(one if one.isprintable() else "\ufffd" for one in " ".join(text.split()))


class RunFailed(Exception):  # noqa: N818  # what became of a run, not a kind of exception
    """A run that other processes trained has failed; it is recorded, and this says why."""
