"""train.log: what is said while a run trains."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_OURS = logging.getLogger("vitladder")
_LOGGERS = (_OURS, logging.getLogger("py.warnings"))


class _LogFile(logging.FileHandler):
    """Says once, and not with a traceback for each line, that it cannot be written."""

    _said = False

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  # its name there
        """Say why; what matters is in files whose faults end the run."""
        del record
        if not self._said:
            self._said = True
            print(f"vitladder: {self.baseFilename}: {sys.exc_info()[1]}", file=sys.stderr)


@contextmanager
def log_file(file: Path) -> Iterator[None]:
    """Write what the program says, and Python's warnings, to a file within this block."""
    handler = _LogFile(file, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    level = _OURS.level
    for logger in _LOGGERS:
        logger.addHandler(handler)
        logger.propagate = False
    _OURS.setLevel(logging.INFO)
    try:
        yield
    finally:
        for logger in _LOGGERS:
            logger.removeHandler(handler)
        _OURS.setLevel(level)
        handler.close()
