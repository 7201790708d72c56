"""Bad data ends the real command with exit code 2 and one line, and leaves nothing behind."""

from __future__ import annotations

from pathlib import Path

import forked
import pytest
from bad_sets import Case
from cases_image import ELSEWHERE, IMAGES
from cases_source import SOURCES

SECONDS = 60


def lying_here() -> set[str]:
    """The names of all files and folders below this one, but for the user's own cache."""
    return {str(file) for file in Path().rglob("*") if file.parts[0] != ".user-cache"}


@pytest.mark.parametrize("case", [*SOURCES, *IMAGES, *ELSEWHERE], ids=lambda case: case.name)
def test_bad_data_is_one_line_that_says_what_where_and_what_would_be_right(case: Case) -> None:
    Path("set").mkdir()
    case.write(Path("set"))
    before = lying_here()
    done = forked.run(*case.command, seconds=SECONDS)
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stderr.startswith("vitladder: ")
    assert done.stderr.count("\n") == 1, done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    for words in case.says:
        assert words in done.stderr
    new = {name for name in lying_here() - before if name.split("/")[0] != case.leaves}
    assert not new
    assert not [name for name in lying_here() if "/." in name.removeprefix("outputs/.cache")]
