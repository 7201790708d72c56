"""What trains is imported without a search for garbage, which is only that: it goes on later."""

from __future__ import annotations

import subprocess
import sys

IMPORTS = """
import gc
from vitladder.train.imports import import_training

searched = [generation["collections"] for generation in gc.get_stats()]
import_training()
assert [generation["collections"] for generation in gc.get_stats()] == searched
kept = gc.get_freeze_count()
assert kept > 300_000, kept
# A run's own objects are not kept: those of the next one would come on top.
garbage = []
garbage.append(garbage)
import_training()
assert gc.get_freeze_count() == kept
assert gc.isenabled()
"""
ENDS = """
import gc
import sys
from vitladder.cli import own_process

sys.argv = ["vitladder", "--version"]
assert own_process() == 0
assert gc.get_freeze_count() > 0
sys.argv = ["vitladder", "nothing"]
assert own_process() == 2
"""


def told(program: str) -> str:
    """What a process of its own has to say of the program."""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    return "" if done.returncode == 0 else done.stderr


def test_imports_are_not_searched_for_garbage_and_later_objects_are() -> None:
    assert told(IMPORTS) == ""


def test_a_process_that_ends_is_not_searched() -> None:
    assert told(ENDS) == ""
