"""Names of files and reasons of errors as they can be shown: printable, and in one line."""

from __future__ import annotations

import os


def shown(name: str) -> str:
    """Return a file's name; bytes that are no text, and letters that cannot be printed, escaped."""
    text = os.fsencode(name).decode(errors="backslashreplace")
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in text
    )


def first_line(problem: Exception) -> str:
    """Return the first line of what an error says, or its type where it says nothing."""
    lines = str(problem).strip().splitlines() or [type(problem).__name__]
    return "".join(letter for letter in lines[0] if letter.isprintable())
