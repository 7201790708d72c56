"""A study while it trains: a table that renews itself on a terminal, a line now and then elsewhere.

It only reads; any number may look on.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rich.console import Console, ConsoleDimensions, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from vitladder.errors import UserError
from vitladder.report.notation import si
from vitladder.runs.announced import Announcement
from vitladder.runs.invocation import Invocation
from vitladder.runs.said import Said
from vitladder.runs.standing import RUNNING, STOPPED, WAITING, RunStanding, Standing, StudyReader

_TABLE_SECONDS = 1.0
_LINE_SECONDS = 30.0
_JOIN_SECONDS = 5.0
_STYLE = {
    "complete": "green",
    "diverged": "yellow",
    "failed": "red",
    "interrupted": "red",
    STOPPED: "red",
    RUNNING: "cyan",
    WAITING: "dim",
}
# What one wants to see first, where the screen has not room for all.
_ORDER = (RUNNING, "failed", "interrupted", STOPPED, "diverged", WAITING, "complete")
_ROOM = 8  # lines of a terminal that are not rows of the table
_LEAST_ROWS = 3
_BAR = 12


def watch(study: Path) -> int:
    """Show a study until nothing of it is trained any more; 1 if runs are left that nobody trains.

    Raises UserError where there is no study.
    """
    reader, console = StudyReader(study), Console()
    redraws = console.is_terminal and not console.is_dumb_terminal
    # The terminal is left as it was, also by `timeout`.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        standing = _watch_table(reader, console) if redraws else _watch_lines(reader)
    except KeyboardInterrupt:
        # Who looked on has seen enough; nothing else has stopped.
        return 128 + signal.SIGINT
    return int(standing.count("failed", "interrupted", STOPPED) > 0)


def _watch_table(reader: StudyReader, console: Console) -> Standing:
    standing = reader.read()
    with Live(table(standing, console.size), console=console, auto_refresh=False) as live:
        while standing.alive:
            time.sleep(_TABLE_SECONDS)
            standing = reader.read()
            live.update(table(standing, console.size), refresh=True)
    return standing


def _watch_lines(reader: StudyReader) -> Standing:
    """Print a line when a run has begun or ended, and every half minute."""
    said, at = "", 0.0
    while True:
        standing = reader.read()
        counts, now = _counts(standing), time.monotonic()
        if counts != said or now - at >= _LINE_SECONDS:
            print(line(standing), flush=True)
            said, at = counts, now
        if not standing.alive:
            return standing
        time.sleep(_TABLE_SECONDS)


@contextmanager
def shown_while_training(studies: Sequence[Path], invocation: Invocation) -> Iterator[None]:
    """Show the studies on this command's own terminal, above it what the runs print."""
    console = Console(stderr=True)
    # What goes into a file stays out of the terminal.
    live = Live(
        console=console,
        auto_refresh=False,
        transient=True,
        redirect_stdout=sys.stdout.isatty(),
    )
    views = [_View(StudyReader(study), Said(study, invocation)) for study in studies]
    over = threading.Event()
    thread = threading.Thread(target=_renew, args=(views, live, console, over), daemon=True)
    with live:
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join(_JOIN_SECONDS)
            _repeat(views)


@dataclass(frozen=True)
class _View:
    """A study on the terminal: how it stands, and what its workers say."""

    reader: StudyReader
    said: Said


def _renew(views: Sequence[_View], live: Live, console: Console, over: threading.Event) -> None:
    while not over.wait(_TABLE_SECONDS):
        _repeat(views)
        room = ConsoleDimensions(console.width, console.height // len(views))
        # What a run meets on the disk it says itself.
        with suppress(UserError, OSError):
            live.update(Group(*(table(view.reader.read(), room) for view in views)), refresh=True)


def _repeat(views: Sequence[_View]) -> None:
    # Who does not read on, or a disk that is gone, takes the lines: the runs' logs have them too.
    with suppress(OSError):
        for view in views:
            view.said.repeat()


def line(standing: Standing) -> str:
    """The whole study in one line."""
    parts = [f"{standing.study}: {_counts(standing)}"]
    if standing.share is not None:
        parts.append(f"{100 * standing.share:.0f} % of {_flops(standing):.3g} FLOPs")
    return "; ".join([*parts, *_left(standing)])


def table(standing: Standing, room: ConsoleDimensions) -> Group:
    """The study's head, and a table of its runs, as much of them as there is room for."""
    head = Text(f"{standing.study}: {_counts(standing)}")
    lines: list[Text | Table] = [head, *(_command(one) for one in standing.commands)]
    if standing.share is not None:
        lines.append(_study_bar(standing))
    rows = max(_LEAST_ROWS, room.height - _ROOM)
    shown = sorted(standing.runs, key=lambda run: _ORDER.index(run.state))[:rows]
    lines.append(_runs_table(shown, room.width))
    if len(shown) < len(standing.runs):
        lines.append(Text(f"and {len(standing.runs) - len(shown)} more", style="dim"))
    return Group(*lines)


def _command(one: Announcement) -> Text:
    said = f"{one.command}  (process {one.process} on {one.host})"
    return Text(said, style="dim", no_wrap=True, overflow="ellipsis")


def _study_bar(standing: Standing) -> Table:
    share = standing.share or 0.0
    grid = Table.grid(padding=(0, 1))
    said = f"{100 * share:.1f} % of {_flops(standing):.3g} FLOPs"
    bar = ProgressBar(1.0, share, width=_BAR)
    grid.add_row(bar, Text("; ".join([said, *_left(standing)]), overflow="ellipsis", no_wrap=True))
    return grid


def _runs_table(runs: Sequence[RunStanding], width: int) -> Table:
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    columns = [column for column in _COLUMNS if width >= column.from_width]
    for column in columns:
        made.add_column(column.name, justify=column.justify, no_wrap=True)
    for run in runs:
        made.add_row(*(column.cell(run) for column in columns))
    return made


@dataclass(frozen=True)
class _Column:
    """A column of the table, on terminals of at least this width."""

    name: str
    cell: Callable[[RunStanding], str | Text | ProgressBar]
    from_width: int = 0
    justify: Literal["left", "right"] = "right"


def _progress(run: RunStanding) -> ProgressBar:
    return ProgressBar(1.0, min(run.done / run.flops, 1.0) if run.flops else 0.0, width=_BAR)


def _cell(value: float | None, how: str) -> str:
    return "" if value is None else format(value, how)


def _counts(standing: Standing) -> str:
    done = standing.count("complete", "diverged")
    failed = standing.count("failed", "interrupted", STOPPED)
    return (
        f"{done} of {len(standing.runs)} runs done, {standing.count(RUNNING)} running, "
        f"{standing.count(WAITING)} waiting, {failed} stopped or failed"
    )


def _flops(standing: Standing) -> float:
    return sum(run.flops or 0.0 for run in standing.runs)


def _left(standing: Standing) -> list[str]:
    """What time is left, where it can be said."""
    seconds = standing.seconds_left
    return [] if seconds is None else [f"about {duration(seconds)} left at this speed"]


def duration(seconds: float) -> str:
    """A time as people say it, in two units at most: 45 s, 12 min, 3 h 20 min, 2 d 4 h."""
    minutes = round(seconds / 60)
    if seconds < 100:
        return f"{seconds:.0f} s"
    if minutes < 100:
        return f"{minutes} min"
    hours, rest = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {rest} min"
    return f"{hours // 24} d {hours % 24} h"


_COLUMNS = (
    _Column("run", lambda run: run.run_key, justify="left"),
    _Column("state", lambda run: Text(run.state, style=_STYLE[run.state]), justify="left"),
    _Column("shape", lambda run: run.shape, from_width=114),
    _Column("N", lambda run: "" if run.n_params is None else si(run.n_params)),
    _Column("C", lambda run: _cell(run.flops, ".3g"), from_width=86),
    _Column("of C", _progress, justify="left"),
    _Column("train loss", lambda run: _cell(run.train_loss, ".4f")),
    _Column("val loss", lambda run: _cell(run.val_loss, ".4f")),
    _Column("images/s", lambda run: _cell(run.images_per_s, ",.0f"), from_width=98),
    _Column("MFU", lambda run: _cell(run.mfu, ".1%"), from_width=104),
)
