"""The one exception that means "the input is wrong", so that the command can say it in one line."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class UserError(Exception):
    """Bad input: the message is one line that says what is wrong, where, and what would be right.

    The command prints the message alone, without a traceback, and exits with code 2.
    """


_MANY = 20


def unknown(kind: str, name: str, have: Iterable[str]) -> UserError:
    """Return the error for a name that does not exist, with the nearest names that do."""
    known = sorted(have)
    near = get_close_matches(name, known, n=1 if len(known) <= _MANY else 3)
    hint = f"; did you mean {' or '.join(repr(other) for other in near)}?" if near else ""
    listed = ", ".join(known) if len(known) <= _MANY else f"{len(known)} names"
    return UserError(f"no {kind} '{name}'{hint} (have: {listed or 'none'})")


class RunFailed(Exception):  # noqa: N818  # what became of a run, not a kind of exception
    """A run that other processes trained has failed; it is recorded, and this says why."""
