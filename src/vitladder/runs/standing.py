"""How far a study has come: what each of its runs does now, read from its files alone."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vitladder.errors import UserError
from vitladder.runs import metrics
from vitladder.runs.announced import Announced, Announcement, read_announcements
from vitladder.runs.claim import is_busy
from vitladder.runs.record import FILE, FINISHED, Record, read_record
from vitladder.runs.sweep import Place, shape_of

RUNNING, WAITING, STOPPED = "running", "waiting", "stopped"


@dataclass(frozen=True)
class RunStanding:
    """One run: its record's status, or running, waiting for its turn, or stopped without a record.

    `flops` is its whole C, `done` what of it is trained; None and NaN-free figures are the last
    that its metrics.csv has.
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
    flops_per_s: float = 0.0


@dataclass(frozen=True)
class Standing:
    """A study as it stands: the commands at work on it, and its runs."""

    study: str
    commands: Sequence[Announcement]
    runs: Sequence[RunStanding]

    @property
    def alive(self) -> bool:
        """Whether anything is being trained, or will be without being asked again."""
        return bool(self.commands) or self.count(RUNNING) > 0

    def count(self, *states: str) -> int:
        """How many runs are in one of these states."""
        return sum(run.state in states for run in self.runs)

    @property
    def share(self) -> float | None:
        """The part of the FLOPs of all runs that is trained; None where one's C is not known."""
        total = _sum([run.flops for run in self.runs])
        return sum(run.done for run in self.runs) / total if total else None

    @property
    def seconds_left(self) -> float | None:
        """What is left of the runs that run or wait, at the speed of those that run now.

        None where nothing runs, or has been measured yet.
        """
        todo = [run for run in self.runs if run.state in (RUNNING, WAITING)]
        left = _sum([None if run.flops is None else run.flops - run.done for run in todo])
        speed = sum(run.flops_per_s for run in todo)
        return None if left is None or speed <= 0 else left / speed


def _sum(parts: Sequence[float | None]) -> float | None:
    known = [part for part in parts if part is not None]
    return sum(known) if len(known) == len(parts) else None


@dataclass
class StudyReader:
    """Reads a study again and again; a record that has not changed is read once."""

    study: Path
    _records: dict[Path, tuple[int, Record]] = field(default_factory=dict)

    def read(self) -> Standing:
        """Return how the study stands. Raises UserError where there is none, or a record is bad."""
        if not self.study.is_dir():
            raise UserError(f"no study at {self.study}: give a study's folder, as outputs/demo")
        commands = read_announcements(self.study)
        planned = {run.run_key: run for command in commands for run in command.runs}
        folders = {
            folder.name
            for folder in self.study.iterdir()
            if (folder / FILE).exists() or (folder / ".lock").exists()
        }
        names = {command.invocation for command in commands}
        runs = [self._run(key, planned.get(key), names) for key in sorted(folders | planned.keys())]
        if not runs and not commands:
            raise UserError(
                f"{self.study} holds no run: give a study's folder, such as outputs/demo, which "
                f"`vitladder train -m +sweep=demo` fills"
            )
        return Standing(self.study.resolve().name, commands, runs)

    def _run(self, key: str, planned: Announced | None, names: Collection[str]) -> RunStanding:
        place = Place(self.study.parent, self.study.name, key)
        record = self._record(place.folder)
        if record is not None and record.status in FINISHED:
            return _of_record(record, record.status)
        if is_busy(place):
            return _going_on(place, planned, record, RUNNING)
        if planned and not (record and record.environment.get("invocation") in names):
            return _going_on(place, planned, record, WAITING)
        return _going_on(place, planned, record, record.status if record else STOPPED)

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


def _of_record(record: Record, state: str) -> RunStanding:
    results = record.results
    flops = record.plan.get("flops")
    return RunStanding(
        record.run_key,
        state,
        shape_of(record.config),
        record.plan.get("n_params"),
        flops,
        # A run that diverged needs no more.
        flops or results.flops,
        results.train_loss,
        results.val_loss,
        results.images_per_s,
        results.mfu,
    )


def _going_on(
    place: Place, planned: Announced | None, record: Record | None, state: str
) -> RunStanding:
    """A run that is not finished, as its last row says."""
    row = metrics.read_last(place.folder)
    speed, images = row.get("images_per_s"), row.get("images")
    per_image = row["flops"] / images if images else 0.0
    plan: Mapping[str, Any] = record.plan if record else {}
    return RunStanding(
        place.run_key,
        state,
        planned.shape if planned else shape_of(record.config if record else {}),
        planned.n_params if planned else plan.get("n_params"),
        planned.flops if planned else plan.get("flops"),
        row.get("flops", 0.0),
        row.get("train_loss"),
        row.get("val_loss"),
        speed,
        row.get("mfu"),
        speed * per_image if speed and state == RUNNING else 0.0,
    )
