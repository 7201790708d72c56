"""What lies between two runs of a multirun: compose, build, record, start and end W&B."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from vitladder.runs.record import FILE

_COMMAND = "import sys; from vitladder.cli import main; sys.exit(main())"
_RUN = ["model=micro-8", "compute.steps=1", "data.batch_size=8", "threads=1"]


@dataclass(frozen=True)
class BetweenRuns:
    """Seconds from the record of one run to that of the next, for runs of one small step."""

    logger: str
    seconds: list[float]

    @property
    def median(self) -> float:
        """The median over the multirun's neighbours."""
        return statistics.median(self.seconds)

    def __str__(self) -> str:
        """One line for a person."""
        return (
            f"from one run of a multirun to the next, with a step and a validation of digits: "
            f"{self.median:.3f} s (logger={self.logger}, median of {len(self.seconds)})"
        )


def measure_between_runs(logger: str, *, runs: int = 21) -> BetweenRuns:
    """Train a multirun in a process of its own; its records' times of writing tell."""
    seeds = ",".join(str(seed) for seed in range(runs))
    words = ["train", "-m", *_RUN, f"logger={logger}", f"seed={seeds}"]
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(  # noqa: S603  # our own command
            [sys.executable, "-c", _COMMAND, *words], cwd=folder, check=True, capture_output=True
        )
        written = sorted(file.stat().st_mtime_ns for file in Path(folder).glob(f"*/*/*/{FILE}"))
    return BetweenRuns(logger, [(after - before) / 1e9 for before, after in pairwise(written)])
