"""What lies between two runs of a multirun: compose, build, record, start and end W&B."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass

_COMMAND = "import sys; from vitladder.cli import main; sys.exit(main())"
_RUN = ["model=micro-8", "compute.steps=1", "data.batch_size=8", "threads=1"]


@dataclass(frozen=True)
class BetweenRuns:
    """Seconds that a multirun takes longer for each further run of one small step."""

    logger: str
    seconds: float

    def __str__(self) -> str:
        """One line for a person."""
        return (
            f"from one run of a multirun to the next, with a step and a validation of digits: "
            f"{self.seconds:.3f} s (logger={self.logger})"
        )


def measure_between_runs(logger: str, *, few: int = 2, many: int = 22) -> BetweenRuns:
    """Train `few` and `many` runs in one process each; the difference is that of the runs alone."""
    seconds = (_multirun(logger, many) - _multirun(logger, few)) / (many - few)
    return BetweenRuns(logger, seconds)


def _multirun(logger: str, runs: int) -> float:
    seeds = ",".join(str(seed) for seed in range(runs))
    words = ["train", "-m", *_RUN, f"logger={logger}", f"seed={seeds}"]
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        subprocess.run(  # noqa: S603  # our own command
            [sys.executable, "-c", _COMMAND, *words], cwd=folder, check=True, capture_output=True
        )
        return time.perf_counter() - began
