"""metrics.csv: one row for every logged step, each step once, also over interruptions."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TextIO

from vitladder.errors import UserError
from vitladder.runs.atomic import write_text
from vitladder.runs.reading import Unreadable, kept_text_of

log = logging.getLogger(__name__)

COLUMNS = (
    "step",
    "images",
    "flops",
    "train_loss",
    "lr",
    "grad_norm",
    "images_per_s",
    "mfu",
    "val_loss",
    "val_error",
    "val_top5_error",
    "loss_scale",
    "skipped_steps",
)
FILE = "metrics.csv"

_NEEDED = ("step", "flops", "train_loss", "val_loss")  # of every version
_STEP = re.compile(r"[0-9]{1,18}")
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]*)?(e[+-]?[0-9]+)?|-?inf|nan|")


def read_rows(folder: Path) -> list[dict[str, str]]:
    """Return the rows of a run's metrics.csv; an unfinished last line is not a row.

    Lines that are no rows, as a disk may leave them, are left out with a warning. Raises UserError
    where the file cannot be read, or is another table.
    """
    file = folder / FILE
    try:
        text = kept_text_of(file)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except Unreadable as why:
        raise _not_rows(file, str(why)) from why
    head, *lines = text.replace("\r\n", "\n").split("\n")[:-1] or [",".join(COLUMNS)]
    names = head.split(",")
    missing = [name for name in _NEEDED if name not in names]
    if missing:
        raise _not_rows(file, f"its first line has no column {', '.join(missing)}")
    return [dict(zip(names, cells, strict=True)) for cells in _cells_of(file, lines, names)]


class Tail:
    """The rows of a metrics.csv that were not read before, also where another takes its place."""

    def __init__(self, folder: Path) -> None:
        """Begin at its start."""
        self._file = folder / FILE
        self._inode = 0
        self._read = 0
        self._names: list[str] = []

    def new(self) -> list[dict[str, str]]:
        """Return the whole rows that have come."""
        lines = self._new_lines()
        if not self._names and lines:
            self._names = lines.pop(0).split(",")
        if "step" not in self._names:
            return []
        step, cells = self._names.index("step"), [line.split(",") for line in lines]
        rows = [row for row in cells if _is_row(row, len(self._names), step)]
        return [dict(zip(self._names, row, strict=True)) for row in rows]

    def _new_lines(self) -> list[str]:
        if not self._file.is_file():
            return []
        with self._file.open("rb") as file:
            inode = os.fstat(file.fileno()).st_ino
            if inode != self._inode:
                self._inode, self._read, self._names = inode, 0, []
            file.seek(self._read)
            text = file.read()
        whole = text[: text.rfind(b"\n") + 1]
        self._read += len(whole)
        return whole.decode(errors="replace").splitlines()


def _not_rows(file: Path, why: str) -> UserError:
    return UserError(f"{file} does not hold the metrics of a run ({why}); move it away")


def _cells_of(file: Path, lines: Sequence[str], names: Sequence[str]) -> list[list[str]]:
    """The cells of the lines that are rows of numbers."""
    split = [line.split(",") for line in lines]
    step = names.index("step")
    sound = [_is_row(cells, len(names), step) for cells in split]
    if not all(sound):
        count, first = sound.count(False), sound.index(False) + 2
        _warn(f"{file}: {count} lines are no rows and are left out, first line {first}")
    return [cells for cells, good in zip(split, sound, strict=True) if good]


@cache
def _warn(said: str) -> None:
    """Say it once, though a page reads a run's rows for several figures."""
    log.warning(said)


def _is_row(cells: Sequence[str], width: int, step: int) -> bool:
    """Whether cells are a row: all of them, a step, and numbers or nothing in the others."""
    if len(cells) != width or not _STEP.fullmatch(cells[step]):
        return False
    return all(_NUMBER.fullmatch(cell) for cell in cells)


def open_rows(folder: Path, *, last_step: int) -> TextIO:
    """Open metrics.csv for rows after `last_step`, cutting those that a resumed run repeats."""
    kept = [row for row in read_rows(folder) if int(row["step"]) <= last_step]
    lines = [",".join(COLUMNS), *(",".join(row.get(key, "") for key in COLUMNS) for row in kept)]
    write_text(folder / FILE, "\n".join(lines) + "\n")
    return (folder / FILE).open("a", encoding="utf-8", buffering=1)


def write_row(file: TextIO, row: Mapping[str, float | int | None]) -> None:
    """Append one row; None is an empty cell."""
    file.write(",".join(_cell(row.get(key)) for key in COLUMNS) + "\n")


def to_disk(file: TextIO) -> None:
    """Wait until the rows so far are on the disk.

    Raises FileNotFoundError where the file has been removed: its rows would go nowhere.
    """
    file.flush()
    os.fsync(file.fileno())
    Path(file.name).stat()


def _cell(value: float | int | None) -> str:
    return "" if value is None else repr(value)
