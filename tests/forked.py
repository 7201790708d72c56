"""The `vitladder` command in real processes that start fast: forked from one that has imported it.

Starting Python and importing torch and Lightning takes seconds; what a command does with bad input,
or what a kill leaves behind, is of the process that comes after.
"""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from multiprocessing import get_context
from multiprocessing.context import ForkServerProcess
from pathlib import Path

# Wide enough for any line: what is said is not folded to a terminal's width.
_COLUMNS = "4000"
_CONTEXT = get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    ["vitladder.launch", "vitladder.train.loop", "vitladder.train.optimizer", "pandas", "forked"]
)

Before = Callable[[], None]
"""Called in the new process before the command; a function of a module, as it is pickled."""


def start(
    arguments: Sequence[str],
    said: Path,
    *,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
    before: Before | None = None,
) -> ForkServerProcess:
    """Start `vitladder ARGUMENTS` in a folder, this one by default; it writes said.out, said.err.

    Its parent is not this process, but the one that it was forked from.
    """
    environment = {**os.environ, "COLUMNS": _COLUMNS, **(environment or {})}
    process = _CONTEXT.Process(
        target=_command, args=(list(arguments), said, folder or Path.cwd(), environment, before)
    )
    process.start()
    return process


def run(
    *arguments: str,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
    seconds: float = 120,
    said: Path = Path(".said"),
) -> subprocess.CompletedProcess[str]:
    """Run `vitladder ARGUMENTS` to its end; a process that takes longer is killed."""
    said = said.absolute()
    process = start(arguments, said, folder=folder, environment=environment)
    process.join(seconds)
    if process.is_alive():
        process.kill()
        process.join()
        raise TimeoutError(f"vitladder {' '.join(arguments)} took more than {seconds:g} s")
    assert process.exitcode is not None
    out, err = (said.with_suffix(end) for end in (".out", ".err"))
    done = subprocess.CompletedProcess(
        arguments,
        process.exitcode,
        out.read_text(errors="replace"),
        err.read_text(errors="replace"),
    )
    out.unlink()
    err.unlink()
    return done


def _command(
    arguments: list[str],
    said: Path,
    folder: Path,
    environment: dict[str, str],
    before: Before | None,
) -> None:
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    os.setsid()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for descriptor, end in ((1, ".out"), (2, ".err")):
        file = os.open(said.with_suffix(end), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(file, descriptor)
        os.close(file)
    # multiprocessing's own streams know nothing of the files.
    sys.stdout = io.TextIOWrapper(io.FileIO(1, "w", closefd=False), line_buffering=True)
    sys.stderr = io.TextIOWrapper(io.FileIO(2, "w", closefd=False), line_buffering=True)
    sys.argv = ["vitladder", *arguments]
    if before is not None:
        before()
    from vitladder.cli import main

    code = main(arguments)
    sys.stdout.flush()
    sys.stderr.flush()
    # As at the end of a command: what waits to be written or closed at exit has its turn.
    sys.exit(code)
