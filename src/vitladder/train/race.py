"""Ways of training against each other: a process each, measured in turn in short windows."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from types import TracebackType
from typing import Any

from vitladder.config import Config
from vitladder.train.candidates import Choice, applied


class TrialFailed(Exception):  # noqa: N818  # a result of a trial, not a fault of the program
    """A way of training that cannot be measured: it failed, or its process died."""


@dataclass
class Measured:
    """What one way of training showed: images/s of every window, and the cost of its start.

    `startup_seconds` is what the first step took beyond a later one, `memory_bytes` the most that
    tensors hold during a step.
    """

    choice: Choice
    startup_seconds: float
    memory_bytes: int
    images_per_s: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        """The median over the windows."""
        return statistics.median(self.images_per_s)

    @property
    def fastest(self) -> float:
        """The fastest window: other work on the machine can only slow a window down."""
        return max(self.images_per_s)


class Trial:
    """The process of one way of training, which waits between its windows."""

    def __init__(self, config: Config, choice: Choice) -> None:
        """Start the process; it loads its libraries meanwhile."""
        self.config = applied(config, choice)
        command = [sys.executable, "-P", "-m", "vitladder.train.trial_worker"]
        self._process = subprocess.Popen(  # noqa: S603  # our own module
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            # A Triton kernel that is interpreted shows nothing of its speed.
            env={**os.environ, "TRITON_INTERPRET": "0"},
            text=True,
        )

    def prepare(self, choice: Choice) -> Measured:
        """Build the model and take its first steps; raises TrialFailed."""
        said = self._ask({"config": asdict(self.config)})
        return Measured(choice, said["startup_seconds"], said["memory_bytes"])

    def window(self, seconds: float) -> float:
        """Train for about so long and return images/s; raises TrialFailed."""
        said = self._ask({"seconds": seconds})
        return float(said["steps"] * self.config.data.batch_size / said["seconds"])

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()

    def _ask(self, order: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None  # noqa: S101  # for the type checker
        assert self._process.stdout is not None  # noqa: S101  # for the type checker
        try:
            print(json.dumps(order), file=self._process.stdin, flush=True)
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise TrialFailed(f"its process ended with code {self._process.wait()}")
        said: dict[str, Any] = json.loads(line)
        if "error" in said:
            raise TrialFailed(said["error"])
        return said


class Race:
    """Several trials of one config; each runs alone while the others wait."""

    def __init__(self, config: Config) -> None:
        """Nothing runs yet."""
        self.config = config
        self.measured: dict[Choice, Measured] = {}
        self.failed: dict[Choice, str] = {}
        self._trials: dict[Choice, Trial] = {}

    def __enter__(self) -> Race:
        """Return the race; its processes end with the block."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        """End all processes."""
        for trial in self._trials.values():
            trial.close()

    def enter(self, choices: Sequence[Choice]) -> None:
        """Start a process for each new choice, and take its first steps one after the other."""
        new = [choice for choice in choices if choice not in self._trials]
        for choice in new:
            self._trials[choice] = Trial(self.config, choice)
        for choice in new:
            try:
                self.measured[choice] = self._trials[choice].prepare(choice)
            except TrialFailed as error:
                self.failed[choice] = str(error)

    def run(self, choices: Sequence[Choice], *, rounds: int, seconds: float) -> None:
        """Measure windows of about `seconds`, all choices in turn within a round."""
        for _ in range(rounds):
            for choice in choices:
                if choice in self.failed:
                    continue
                try:
                    speed = self._trials[choice].window(seconds)
                    self.measured[choice].images_per_s.append(speed)
                except TrialFailed as error:
                    self.failed[choice] = str(error)
                    del self.measured[choice]

    def leave(self, choice: Choice) -> None:
        """End the process of a choice that needs no more windows; its measures stay."""
        self._trials[choice].close()
