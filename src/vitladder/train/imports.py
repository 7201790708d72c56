"""Imports torch, Lightning and what trains at once, past Python's search for garbage."""

from __future__ import annotations

import gc
import sys

_LAST = "vitladder.train.loop"


def import_training() -> None:
    """Import what trains; what an import makes is never garbage, so nothing looks through it.

    Python's collector would, many times while it grows to a million objects, at its every full
    collection later, and once more at exit: 40 % of the time of a command that trains a few steps.
    """
    if _LAST in sys.modules:
        return
    gc.disable()
    try:
        __import__(_LAST)
        gc.freeze()
    finally:
        gc.enable()
