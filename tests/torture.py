"""Kills two commands that share a small study until each run is complete, and looks for damage.

`python tests/torture.py --kills 200`: SIGKILL comes at random times, and at chosen moments: while a
checkpoint is written, before and after it gets its name, as a record or the rows get theirs, and
during a validation. When the study is complete, it must be bit-identical to one left in peace.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import forked
import killing
from checkpoints import last_saved

STUDY = [
    *["train", "-m", "model=micro-8", "model.depth=2", "model.drop_path=0.2", "logger=csv"],
    *["data.augment.mixup=0.2", "data.augment.crop=1", "log_every=3", "evaluations=8"],
    *["compute.steps=150", "checkpoint_seconds=0.03", "threads=1"],
    *["seed=0,1,2", "precision=fp32,bf16"],
]
COMMANDS = 2
ENOUGH = 150
"""So many kills come at every moment there is."""
LONGEST_SECONDS = (12.0, 3.0)
"""What a command may live that dies at a chosen moment, and one that dies at any."""
LEAVES = {"record.json", "metrics.csv", "config.yaml", "train.log", ".lock", "checkpoints"}
TIMED = ("images_per_s", "mfu", "peak_memory_bytes")


@dataclass
class Toll:
    """What was done to the studies, and what was found afterwards."""

    kills: Counter[str] = field(default_factory=Counter)
    studies: int = 0
    runs: int = 0
    resumes: int = 0
    differences: list[str] = field(default_factory=list)
    lost_rows: int = 0
    stray_files: list[str] = field(default_factory=list)

    def sound(self) -> bool:
        """Whether nothing was lost, changed or left lying about."""
        return not (self.differences or self.lost_rows or self.stray_files)

    def never_came(self) -> list[str]:
        """What the kills have not tried, though they were enough for all of it."""
        missing = [] if self.resumes else ["a resume"]
        if self.kills.total() >= ENOUGH:
            missing += [moment for moment in killing.OFTEN if not self.kills[moment]]
        return missing


class Tormented:
    """One command that is started again and again, and killed."""

    def __init__(self, outputs: Path, said: Path, chance: random.Random) -> None:
        self._outputs = outputs
        self._said = said
        self._chance = chance
        self.start()

    def start(self) -> None:
        """Start the command, and choose when it shall die."""
        moments = list(killing.OFTEN)
        self.moment = self._chance.choice([*moments, *[moments[0]] * len(moments)])
        number = 1 + int(self._chance.expovariate(1 / killing.OFTEN[self.moment]))
        self._dies = time.monotonic() + self._chance.uniform(
            0, LONGEST_SECONDS[self.moment == "any"]
        )
        self.process = start(
            self._outputs, self._said, {killing.VARIABLE: f"{self.moment} {number}"}
        )

    def kill_if_due(self) -> None:
        """Kill the command if its time is over: at once, or as it has not come to its moment."""
        due = time.monotonic() >= self._dies
        if due and self.process.is_alive():
            self.moment = "any"
            self.process.kill()


def start(outputs: Path, said: Path, environment: dict[str, str]) -> ForkServerProcess:
    """Start the study's command, which kills itself at the moment that its environment names."""
    arguments = [*STUDY, f"outputs={outputs}"]
    return forked.start(arguments, said, environment=environment, before=killing.at_moment)


def torment(outputs: Path, toll: Toll, kills: int, chance: random.Random) -> None:
    """Kill the commands until one comes to the end of the study, or they were killed enough."""
    commands = [Tormented(outputs, outputs.with_name(f"said{i}"), chance) for i in range(COMMANDS)]
    while toll.kills.total() < kills:
        for command in commands:
            command.process.join(0.005)
            command.kill_if_due()
            code = command.process.exitcode
            if code is None:
                continue
            if code == 0:
                break
            if code != -signal.SIGKILL:
                raise SystemExit(f"a command ended with {code}: {said(outputs)}")
            toll.kills[command.moment] += 1
            command.start()
        else:
            continue
        break
    for command in commands:
        command.process.kill()
        command.process.join()


def said(outputs: Path) -> str:
    """What the commands have printed last."""
    return "\n".join(file.read_text() for file in outputs.parent.glob("said*.*"))


def undisturbed(outputs: Path) -> None:
    """Train the study, or what is left of it, in peace."""
    process = start(outputs, outputs.with_name("peace"), {killing.VARIABLE: ""})
    process.join()
    if process.exitcode != 0:
        raise SystemExit(f"the study ended with {process.exitcode}: {said(outputs)}")


def compare(outputs: Path, reference: Path, toll: Toll) -> None:
    """Count what is different, lost or left over."""
    there = {folder.name for folder in (outputs / "default").iterdir() if folder.is_dir()}
    expected = {folder.name for folder in (reference / "default").iterdir() if folder.is_dir()}
    toll.differences += [f"{name}: in one study alone" for name in there ^ expected]
    toll.studies += 1
    toll.stray_files += [str(file) for file in (outputs / "default").glob(".*")]
    for name in sorted(there & expected):
        run, whole = outputs / "default" / name, reference / "default" / name
        toll.runs += 1
        log = (run / "train.log").read_text()
        toll.resumes += log.count("going on from step")
        if log.count(" complete: val_loss") > 1:
            toll.differences.append(f"{name}: trained to its end more than once")
        ours, theirs = rows(run), rows(whole)
        toll.lost_rows += sum(row not in ours for row in theirs)
        if ours != theirs:
            toll.differences.append(f"{name}: rows")
        if results(run) != results(whole):
            toll.differences.append(f"{name}: {results(run)} is not {results(whole)}")
        if not same(last_saved(run), last_saved(whole)):
            toll.differences.append(f"{name}: weights or optimizer")
        toll.stray_files += [str(file) for file in strays(run)]


def rows(run: Path) -> list[dict[str, str]]:
    """The rows of metrics.csv without what no two runs share."""
    with (run / "metrics.csv").open() as file:
        return [{k: v for k, v in row.items() if k not in TIMED} for row in csv.DictReader(file)]


def results(run: Path) -> dict[str, Any]:
    """The status and the results of a record without what no two runs share."""
    record = json.loads((run / "record.json").read_text())
    kept = {key: value for key, value in record["results"].items() if key not in TIMED}
    return {"status": record["status"], **kept}


def same(ours: dict[str, Any], theirs: dict[str, Any]) -> bool:
    """Whether two checkpoints hold the same weights and the same state of the optimizer."""
    import torch

    def equal(a: Any, b: Any) -> bool:
        if isinstance(a, torch.Tensor):
            return torch.equal(a, b)
        if isinstance(a, dict):
            return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
        if isinstance(a, list):
            return len(a) == len(b) and all(map(equal, a, b))
        return bool(a == b)

    keys = ("global_step", "state_dict", "optimizer_states", "lr_schedulers")
    return all(equal(ours[key], theirs[key]) for key in keys)


def strays(run: Path) -> Iterator[Path]:
    """What lies in a finished run's folder and should not."""
    yield from (file for file in run.iterdir() if file.name not in LEAVES)
    checkpoints = list((run / "checkpoints").iterdir())
    yield from (file for file in checkpoints if file.suffix != ".ckpt")
    yield from checkpoints[2:]


@contextmanager
def two_disks() -> Iterator[Path]:
    """A folder for outputs on another file system than the one for temporary files."""
    memory = Path("/dev/shm")  # noqa: S108  # another file system is what it is for
    temporary = Path(tempfile.gettempdir())
    other = memory.is_dir() and memory.stat().st_dev != temporary.stat().st_dev
    print(f"outputs {'lie on another' if other else 'share the'} file system of temporary files")
    with tempfile.TemporaryDirectory(dir=memory if other else None) as folder:
        yield Path(folder)


def main() -> int:
    """Torment studies until so many kills have come; return 0 if nothing was lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    given = parser.parse_args()
    toll, chance, began = Toll(), random.Random(given.seed), time.monotonic()  # noqa: S311
    print(f"seed {given.seed}", flush=True)
    with two_disks() as folder:
        undisturbed(folder / "reference")
        while toll.kills.total() < given.kills and toll.sound():
            outputs = folder / f"study{toll.studies}"
            torment(outputs, toll, given.kills, chance)
            undisturbed(outputs)
            compare(outputs, folder / "reference", toll)
            shutil.rmtree(outputs)
            print(f"{toll.kills.total()} kills, {time.monotonic() - began:.0f} s", flush=True)
    report(toll, time.monotonic() - began)
    return 0 if toll.sound() and not toll.never_came() else 1


def report(toll: Toll, seconds: float) -> None:
    """Print the figures."""
    moments = ", ".join(f"{count} {moment}" for moment, count in sorted(toll.kills.items()))
    print(f"kills {toll.kills.total()} ({moments})")
    print(f"studies {toll.studies}, runs {toll.runs}, resumes {toll.resumes}")
    print(
        f"differences {len(toll.differences)}, lost rows {toll.lost_rows}, stray files "
        f"{len(toll.stray_files)}; {seconds:.0f} s on {os.cpu_count()} cores"
    )
    for fault in (*toll.differences, *toll.stray_files):
        print(f"  {fault}")
    for missing in toll.never_came():
        print(f"  never came: {missing}")


if __name__ == "__main__":
    sys.exit(main())
