"""Lines of workers on the way to the terminal of their command, which shows the study there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from io import TextIOBase
from pathlib import Path

from vitladder.runs.invocation import Invocation, current, said_file


@contextmanager
def said_by_the_command(study: Path) -> Iterator[None]:
    """Leave to the command what a worker prints, where its terminal shows the study."""
    if not current().shown:
        yield
        return
    with redirect_stdout(_Saying(said_file(study, current()))):
        yield


class _Saying(TextIOBase):
    """Appends whole lines to a file, as several workers do."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._line = ""

    def write(self, text: str) -> int:
        """Keep a line for the command."""
        self._line += text
        if text.endswith("\n"):
            # A full disk shall not take the run with it; its log has the line too.
            with suppress(OSError), self._file.open("a", encoding="utf-8") as file:
                file.write(self._line)
            self._line = ""
        return len(text)


class Said:
    """What workers have said, for the command to print."""

    def __init__(self, study: Path, invocation: Invocation) -> None:
        """Begin at its start."""
        self._file = said_file(study, invocation)
        self._read = 0

    def repeat(self) -> None:
        """Print the whole lines that have come."""
        if not self._file.is_file():
            return
        with self._file.open("rb") as file:
            file.seek(self._read)
            text = file.read()
        whole = text[: text.rfind(b"\n") + 1]
        if whole:
            print(whole.decode(errors="replace"), end="", flush=True)
        self._read += len(whole)
