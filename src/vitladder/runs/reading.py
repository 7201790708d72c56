"""Files of runs read back as text and JSON, or why they cannot be, in a few plain words."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any


class Unreadable(Exception):  # noqa: N818  # a file, not a fault of the program
    """Why a file is not what it is read as: a few words on one line."""


def text_of(file: Path) -> str:
    """The text of a file, line ends as they are.

    Raises FileNotFoundError or NotADirectoryError where there is none, Unreadable else.
    """
    try:
        return file.read_bytes().decode("utf-8")
    except (FileNotFoundError, NotADirectoryError):
        raise
    except OSError as error:
        raise Unreadable(error.strerror or str(error)) from error
    except UnicodeDecodeError as error:
        raise Unreadable("it is not UTF-8 text") from error


def kept_text_of(file: Path) -> str:
    """What `text_of` gives, of a file in a run's folder, where a named pipe would be waited for."""
    if file.is_fifo():
        raise Unreadable("it is a named pipe")
    return text_of(file)


def json_of(file: Path) -> Any:
    """The JSON of a file; a number that is not finite, or beyond float64, is null.

    Raises what `text_of` does, and Unreadable also for text that could not be written again.
    """
    text = kept_text_of(file)
    if not text.strip():
        raise Unreadable("it is empty")
    try:
        data = json.loads(text, parse_constant=lambda _: None, parse_float=_float, parse_int=_int)
        # Half of a surrogate pair is a string that no page and no terminal takes.
        json.dumps(data, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        what = error.msg.removesuffix(" at")
        where = f"line {error.lineno} column {error.colno}"
        raise Unreadable(f"it is not JSON: {what} at {where}") from error
    except RecursionError as error:
        raise Unreadable("it is nested too deeply") from error
    except ValueError as error:
        raise Unreadable("it holds text that is not Unicode") from error
    return data


def _float(text: str) -> float | None:
    value = float(text)
    return value if math.isfinite(value) else None


def _int(text: str) -> int | None:
    # Longer ones than float64 knows are no count of anything.
    return int(text) if len(text) < 300 else None
