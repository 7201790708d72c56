"""The one exception that means "the input is wrong", so that the command can say it in one line."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class UserError(Exception):
    """Bad input: the message is one line that says what is wrong, where, and what would be right.

    The command prints the message alone, without a traceback, and exits with code 2.
    """


def unknown(kind: str, name: str, have: Iterable[str]) -> UserError:
    """Return the error for a name that does not exist, with the nearest name that does."""
    known = sorted(have)
    near = get_close_matches(name, known, n=1)
    hint = f"; did you mean '{near[0]}'?" if near else ";"
    return UserError(f"no {kind} '{name}'{hint} (have: {', '.join(known) or 'none'})")
