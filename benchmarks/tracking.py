"""What logger=wandb_online takes from training: CPU seconds of the process beside it.

    python benchmarks/tracking.py [STEPS ...]

Wall-clock time of a run differs by more from one time to the next than the sender takes, so the
CPU seconds of both processes are counted. The server is a small one on the loopback.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from wandb_server import environment, serving

STEPS = (200, 1000, 3000)
RUN = ("train", "model.width=64", "model.depth=4")
COUNTS = """
import resource, sys, time
from vitladder.cli import main
began = time.monotonic()
code = main(sys.argv[1:])
uses = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
print(*(sum(use[:2]) for use in uses), time.monotonic() - began)
sys.exit(code)
"""


@dataclass(frozen=True)
class Used:
    """CPU seconds of a run and of the processes that it started, and its time from the start."""

    ours: float
    beside: float
    seconds: float


def main(steps: list[int]) -> None:
    """Print a line for a run of each length."""
    with serving() as server, tempfile.TemporaryDirectory() as folder:
        known = {**os.environ, **environment(server.url)}
        for count in steps:
            used = measure(count, Path(folder), known)
            print(
                f"{count} steps: {used.seconds:.1f} s, {used.ours:.1f} CPU s; the sender "
                f"{used.beside:.2f} CPU s, {100 * used.beside / used.ours:.2f} % of it",
                flush=True,
            )


def measure(steps: int, outputs: Path, known: dict[str, str], logger: str = "wandb_online") -> Used:
    """Train so many steps, and count."""
    done = subprocess.run(  # noqa: S603  # our own command
        [
            *(sys.executable, "-c", COUNTS, *RUN),
            *(f"compute.steps={steps}", f"outputs={outputs}", f"logger={logger}"),
        ],
        env=known,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return Used(*(float(word) for word in done.stdout.splitlines()[-1].split()))


if __name__ == "__main__":
    main([int(word) for word in sys.argv[1:]] or list(STEPS))
