"""How far a study has come: what each of its runs does now, read from its files alone."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vitladder.errors import UserError
from vitladder.runs.announced import Announced, Announcement, read_announcements
from vitladder.runs.claim import is_busy
from vitladder.runs.metrics import Tail
from vitladder.runs.record import FILE, FINISHED, Record, read_record
from vitladder.runs.sweep import Place, shape_of

RUNNING, WAITING, STOPPED = "running", "waiting", "stopped"
"""What a run does that has no record, or not its last one."""

_WINDOW_SECONDS = 300.0
_LEAST_SECONDS = 10.0


@dataclass(frozen=True)
class RunStanding:
    """One run: its record's status, or running, waiting for its turn, or stopped without a record.

    `flops` is its whole C, `done` what of it is done with: all of one that diverged, of which
    `trained` was. The measures are its record's, or the last
    of its metrics.csv; None where there is none yet.
    """

    run_key: str
    state: str
    shape: str
    n_params: int | None
    flops: float | None
    done: float
    train_loss: float | None = None
    val_loss: float | None = None
    images_per_s: float | None = None
    mfu: float | None = None
    flops_per_image: float = 0.0
    trained: float = 0.0


@dataclass(frozen=True)
class Standing:
    """A study as it stands: the commands at work on it, its runs, and how fast they train now."""

    study: str
    commands: Sequence[Announcement]
    runs: Sequence[RunStanding]
    flops_per_s: float = 0.0

    @property
    def alive(self) -> bool:
        """Whether anything is being trained, or will be without being asked again."""
        return bool(self.commands) or self.count(RUNNING) > 0

    def count(self, *states: str) -> int:
        """How many runs are in one of these states."""
        return sum(run.state in states for run in self.runs)

    @property
    def share(self) -> float | None:
        """The part of the FLOPs of all runs that is done with; None where one's C is not known."""
        total = _sum([run.flops for run in self.runs])
        return sum(run.done for run in self.runs) / total if total else None

    @property
    def seconds_left(self) -> float | None:
        """What is left of the runs that run or wait, at the present speed; None if unknown."""
        todo = [run for run in self.runs if run.state in (RUNNING, WAITING)]
        left = _sum([None if run.flops is None else run.flops - run.done for run in todo])
        if left is None or self.flops_per_s <= 0 or self.count(RUNNING) == 0:
            return None
        return left / self.flops_per_s


def _sum(parts: Sequence[float | None]) -> float | None:
    known = [part for part in parts if part is not None]
    return sum(known) if len(known) == len(parts) else None


class StudyReader:
    """Reads a study again and again: a record that has not changed, and each row, is read once."""

    def __init__(self, study: Path, clock: Callable[[], float] = time.monotonic) -> None:
        """Nothing is read yet."""
        self._study = study
        self._clock = clock
        self._records: dict[Path, tuple[int, Record]] = {}
        self._tails: dict[Path, Tail] = {}
        self._rows: dict[Path, dict[str, float]] = {}
        self._looks: deque[tuple[float, float]] = deque()

    def read(self) -> Standing:
        """Return how the study stands. Raises UserError where there is none, or a record is bad."""
        if not self._study.is_dir():
            raise UserError(f"no study at {self._study}: give a study's folder, as outputs/demo")
        commands = read_announcements(self._study)
        keys = {run.run_key for command in commands for run in command.runs} | _keys(self._study)
        runs = [self._run(key, commands) for key in sorted(keys)]
        if not runs and not commands:
            raise UserError(
                f"{self._study} holds no run: give a study's folder, such as outputs/demo, which "
                f"`vitladder train -m +sweep=demo` fills"
            )
        return Standing(self._study.resolve().name, commands, runs, self._speed(runs))

    def _run(self, key: str, commands: Sequence[Announcement]) -> RunStanding:
        place = Place(self._study.parent, self._study.name, key)
        # A run that ends between two looks at it shall not be taken for one that nobody trains.
        busy = is_busy(place)
        record = self._record(place.folder)
        if record is not None and record.status in FINISHED:
            return _of_record(record)
        announced = {c.invocation: run for c in commands for run in c.runs if run.run_key == key}
        to_come = [name for name in announced if not (record and record.is_of(name))]
        ended = record.status if record else STOPPED
        state = RUNNING if busy else WAITING if to_come else ended
        plan = next(iter(announced.values()), None) or _planned(key, record)
        return _going_on(plan, self._last_figures(place.folder), state)

    def _record(self, folder: Path) -> Record | None:
        try:
            changed = (folder / FILE).stat().st_mtime_ns
        except OSError:
            return None
        kept = self._records.get(folder)
        if kept is None or kept[0] != changed:
            record = read_record(folder)
            if record is None:
                return None
            kept = self._records[folder] = (changed, record)
        return kept[1]

    def _last_figures(self, folder: Path) -> dict[str, float]:
        """The last figure of each column of a run's metrics.csv."""
        figures = self._rows.setdefault(folder, {})
        for row in self._tails.setdefault(folder, Tail(folder)).new():
            figures |= {name: float(cell) for name, cell in row.items() if cell}
        return figures

    def _speed(self, runs: Sequence[RunStanding]) -> float:
        """FLOPs a second over the last minutes, all that lies between two steps counted in.

        In the first seconds it is what the runs measured of their steps alone.
        """
        done, now = sum(run.trained for run in runs), self._clock()
        self._looks.append((now, done))
        while now - self._looks[0][0] > _WINDOW_SECONDS:
            self._looks.popleft()
        began, before = self._looks[0]
        if now - began >= _LEAST_SECONDS and done > before:
            return (done - before) / (now - began)
        running = [run for run in runs if run.state == RUNNING]
        return sum((run.images_per_s or 0.0) * run.flops_per_image for run in running)


def _keys(study: Path) -> set[str]:
    """The runs that have been begun."""
    folders = (one for one in study.iterdir() if one.is_dir() and not one.name.startswith("."))
    return {one.name for one in folders if (one / FILE).exists() or (one / ".lock").exists()}


def _of_record(record: Record) -> RunStanding:
    results, flops = record.results, record.plan.get("flops")
    return RunStanding(
        record.run_key,
        record.status,
        shape_of(record.config),
        record.plan.get("n_params"),
        flops,
        # A run that diverged needs no more.
        flops or results.flops,
        results.train_loss,
        results.val_loss,
        results.images_per_s,
        results.mfu,
        trained=results.flops,
    )


def _planned(key: str, record: Record | None) -> Announced:
    """What is known of a run that no command at work has announced."""
    plan = record.plan if record else {}
    shape = shape_of(record.config) if record else ""
    return Announced(key, shape, plan.get("n_params"), plan.get("flops"))


def _going_on(plan: Announced, figures: Mapping[str, float], state: str) -> RunStanding:
    """A run that is not finished, as its last rows say."""
    return RunStanding(
        plan.run_key,
        state,
        plan.shape,
        plan.n_params,
        plan.flops,
        figures.get("flops", 0.0),
        figures.get("train_loss"),
        figures.get("val_loss"),
        figures.get("images_per_s"),
        figures.get("mfu"),
        figures["flops"] / figures["images"] if figures.get("images") else 0.0,
        trained=figures.get("flops", 0.0),
    )
