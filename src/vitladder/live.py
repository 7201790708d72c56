"""A study while it trains: a table that renews itself on a terminal, a line now and then elsewhere.

It only reads; any number may look on.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from vitladder.errors import UserError
from vitladder.runs.announced import Announcement
from vitladder.runs.invocation import Invocation
from vitladder.runs.said import Said
from vitladder.runs.standing import RUNNING, STOPPED, WAITING, RunStanding, Standing, StudyReader

_TABLE_SECONDS = 1.0
_LINE_SECONDS = 30.0
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
_BAR = 16


def watch(study: Path) -> int:
    """Show a study until nothing of it is trained any more; 1 if runs are left that nobody trains.

    Raises UserError where there is no study.
    """
    reader = StudyReader(study)
    standing = _watch_table(reader) if sys.stdout.isatty() else _watch_lines(reader)
    return int(standing.count("failed", "interrupted", STOPPED) > 0)


def _watch_table(reader: StudyReader) -> Standing:
    console = Console()
    standing = reader.read()
    with Live(table(standing, _rows(console)), console=console, auto_refresh=False) as live:
        while standing.alive:
            time.sleep(_TABLE_SECONDS)
            standing = reader.read()
            live.update(table(standing, _rows(console)), refresh=True)
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
    readers = [StudyReader(study) for study in studies]
    said = [Said(study, invocation) for study in studies]
    console = Console(stderr=True)
    over = threading.Event()
    live = Live(
        console=console,
        auto_refresh=False,
        transient=True,
        # What goes into a file stays out of the terminal.
        redirect_stdout=sys.stdout.isatty(),
    )

    def renew() -> None:
        while not over.wait(_TABLE_SECONDS):
            for one in said:
                one.repeat()
            rows = _rows(console) // len(readers)
            try:
                shown = [table(reader.read(), rows) for reader in readers]
            except (UserError, OSError):
                # What a run meets there it says itself.
                continue
            live.update(Group(*shown), refresh=True)

    thread = threading.Thread(target=renew, daemon=True)
    with live:
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
            for one in said:
                one.repeat()


def _rows(console: Console) -> int:
    return max(3, console.height - _ROOM)


def line(standing: Standing) -> str:
    """The whole study in one line."""
    parts = [f"{standing.study}: {_counts(standing)}"]
    if standing.share is not None:
        parts.append(f"{100 * standing.share:.0f} % of {_flops(standing):.3g} FLOPs")
    return "; ".join([*parts, *_left(standing)])


def table(standing: Standing, rows: int) -> Group:
    """The study's head, and a table of its runs, of so many rows at most."""
    head = Text(f"{standing.study}: {_counts(standing)}")
    lines: list[Text | Table] = [head, *(_command(one) for one in standing.commands)]
    if standing.share is not None:
        lines.append(_study_bar(standing))
    shown = sorted(standing.runs, key=lambda run: _ORDER.index(run.state))[:rows]
    lines.append(_runs_table(shown))
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
    grid.add_row(ProgressBar(1.0, share, width=2 * _BAR), "; ".join([said, *_left(standing)]))
    return grid


def _runs_table(runs: Sequence[RunStanding]) -> Table:
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in ("run", "state"):
        made.add_column(column, no_wrap=True)
    for column in ("shape", "N", "C"):
        made.add_column(column, justify="right", no_wrap=True)
    made.add_column("progress in C", no_wrap=True)
    for column in ("train loss", "val loss", "images/s", "MFU"):
        made.add_column(column, justify="right", no_wrap=True)
    for run in runs:
        made.add_row(*_cells(run))
    return made


def _cells(run: RunStanding) -> list[str | Text | ProgressBar]:
    share = run.done / run.flops if run.flops else 0.0
    return [
        run.run_key,
        Text(run.state, style=_STYLE[run.state]),
        run.shape,
        _cell(run.n_params, ","),
        _cell(run.flops, ".3g"),
        ProgressBar(1.0, min(share, 1.0), width=_BAR),
        _cell(run.train_loss, ".4f"),
        _cell(run.val_loss, ".4f"),
        _cell(run.images_per_s, ",.0f"),
        _cell(run.mfu, ".1%"),
    ]


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
