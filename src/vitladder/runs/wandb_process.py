"""A process of its own for what talks to W&B's server: it can be killed, whatever it waits for."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

LOCK_FILE = ".wandb-lock"
BUSY = 3
_LOOK_SECONDS = 0.1


class Busy(Exception):  # noqa: N818  # not an error: another process does the work
    """Another process is sending the run to W&B now."""


@dataclass(frozen=True)
class Ended:
    """How a sender ended: its exit code, None where it was killed, and its last line."""

    code: int | None
    said: str


class Sender:
    """`python -m MODULE FOLDER FILES`, where W&B's own files lie; its last line is the reason."""

    def __init__(self, module: str, folder: Path, files: Path) -> None:
        """Start it, out of reach of the signals of this terminal."""
        self._said = tempfile.TemporaryFile()  # noqa: SIM115  # closed with the process
        self._process = subprocess.Popen(  # noqa: S603  # our own module, no shell
            [sys.executable, "-P", "-m", module, folder.absolute(), files.absolute()],
            stdin=subprocess.PIPE,
            stdout=self._said,
            stderr=subprocess.STDOUT,
            text=True,
            env=_environment(),
            start_new_session=True,
        )

    @property
    def ended(self) -> bool:
        """Whether it has ended by itself."""
        return self._process.poll() is not None

    def tell(self, word: str) -> None:
        """Give it its last word, a line on its stdin."""
        assert self._process.stdin is not None  # noqa: S101  # for the type checker
        # Where it has ended already, its own last line says why.
        with suppress(BrokenPipeError), self._process.stdin as stdin:
            stdin.write(word + "\n")

    def wait(self, seconds: float) -> Ended:
        """Wait for its end, or kill it; either way it is gone."""
        code: int | None
        try:
            code = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            code = None
        assert self._process.stdin is not None  # noqa: S101  # for the type checker
        self._process.stdin.close()
        with self._said as file:
            file.seek(0)
            lines = file.read().decode(errors="replace").strip().splitlines()
        return Ended(code, lines[-1] if lines else "it said nothing")


def _environment() -> dict[str, str]:
    """This process's environment, but for its W&B service: the other has its own."""
    return {key: value for key, value in os.environ.items() if key != "WANDB_SERVICE"}


def told(work: Callable[[Path, Path], None]) -> int:
    """Do a sender's work; whatever goes wrong is its last line, and its exit code."""
    folder, files = (Path(argument) for argument in sys.argv[1:])
    try:
        work(folder, files)
    except Busy:
        return BUSY
    # W&B's client raises what it likes.
    except Exception as error:
        print(f"{type(error).__name__}: {' '.join(str(error).split())}", flush=True)
        return 1
    return 0


@contextmanager
def only_sender(folder: Path, seconds: float) -> Iterator[None]:
    """Let one process at a time send a run; raises Busy where another does for `seconds` more."""
    until = time.monotonic() + seconds
    with (folder / LOCK_FILE).open("a") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() >= until:
                    raise Busy from error
                time.sleep(_LOOK_SECONDS)
        yield
