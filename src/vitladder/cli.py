"""The `vitladder` command: its exit code, and what it says of whatever goes wrong."""

from __future__ import annotations

import gc
import sys
import traceback
from collections.abc import Callable, Sequence

from vitladder import __version__
from vitladder.commands import COMMANDS, HELP
from vitladder.errors import UserError, one_line, unknown
from vitladder.secrets_kept import check_no_secret


def own_process() -> int:
    """Run the command of a process of its own, whose end looks through nothing for garbage."""
    code = main()
    gc.freeze()
    return code


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 2 for bad input, said in one line."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = arguments[:1] == ["--debug"]
    try:
        return _answer(arguments[debug:])
    except Exception as error:
        if debug:
            traceback.print_exc()
        wrong = _to_be_mended(error)
        if wrong is not None:
            print(f"vitladder: {wrong}", file=sys.stderr)
            return 2
        said = f"unexpected {type(error).__name__}: {one_line(str(error).partition(chr(10))[0])}"
        where = "a fault of vitladder; `vitladder --debug ...` shows where"
        print(f"vitladder: {said} ({where})", file=sys.stderr)
        return 1


def _to_be_mended(error: Exception) -> UserError | None:
    """Return what the user can mend: the error itself, or that a plugin of theirs raised it."""
    if isinstance(error, UserError):
        return error
    from vitladder.extend.registry import raised_by_plugin

    return raised_by_plugin(error)


def _answer(arguments: Sequence[str]) -> int:
    try:
        check_no_secret(list(arguments), "the command")
        if not arguments:
            raise UserError(f"no command; vitladder --help explains them: {', '.join(COMMANDS)}")
        if arguments[0] in ("-h", "--help", "help"):
            print(HELP, end="")
            return 0
        if arguments[0] in ("-V", "--version"):
            print(f"vitladder {__version__}")
            return 0
        return _command(arguments[0])(arguments[1:])
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    except KeyboardInterrupt:
        print("vitladder: interrupted; the same command goes on where it stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:
        return 141


def _command(name: str) -> Callable[[Sequence[str]], int]:
    if name not in COMMANDS:
        raise unknown("command", name, COMMANDS)
    return COMMANDS[name]
