"""What is freed is kept: a second use of as much memory meets no new page."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from vitladder.errors import UserError
from vitladder.train.heap import allocator_missing, check_allocator

PROGRAM = """
import resource
import torch
from vitladder.train.heap import keep_freed_memory
{keep}
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(4):
        # Of 64 MiB: from 32 on, glibc never learns to keep a block by itself.
        blocks = [torch.ones(2**24) for _ in range(2)]
        del blocks
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(min(faults() for _ in range(8)))
"""


def faults(keep: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(keep=keep)],
        capture_output=True,
        text=True,
        check=True,
    )
    return int(done.stdout.split()[-1])


TRAIN = """
from vitladder.cli import main
assert main(["train", "model=micro-8", "compute.steps=1", "logger=csv", "keep_memory=true"]) == 0
"""
TRIAL = """
from vitladder.compose import compose_config
from vitladder.compute.plan import resolve
from vitladder.config import DataShape
from vitladder.train.trial_worker import Worker
shape = DataShape(train_images=10, val_images=10, image_size=8, channels=1, classes=10)
Worker(resolve(compose_config(["model=micro-8", "keep_memory=true"]), shape))
"""


@pytest.mark.slow
@pytest.mark.skipif(allocator_missing("cpu") is not None, reason="not glibc's malloc")
@pytest.mark.parametrize(
    "keep", ["keep_freed_memory()", TRAIN, TRIAL], ids=["called", "a run", "a trial"]
)
def test_kept_memory_is_used_again_without_new_pages(keep: str) -> None:
    assert faults(keep) < 10


@pytest.mark.skipif(allocator_missing("cpu") is not None, reason="not glibc's malloc")
def test_otherwise_every_use_meets_new_pages() -> None:
    pages_of_2_mib = 4 * 2 * 2**26 // 2**21
    assert faults("") >= pages_of_2_mib


def test_a_device_whose_memory_torch_keeps_by_itself_is_refused() -> None:
    with pytest.raises(UserError, match=r"keep_memory=true needs a CPU: .* memory of cuda"):
        check_allocator("cuda")


ELSEWHERE = """
import sys
import vitladder.launch, vitladder.train.optimizer, vitladder.train.task
from vitladder.cli import main
sys.platform = "darwin"
sys.exit(main(["train", "compute.steps=1", "keep_memory=true"]))
"""


def test_without_glibc_the_command_says_what_is_missing() -> None:
    done = subprocess.run([sys.executable, "-c", ELSEWHERE], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "vitladder: keep_memory=true needs glibc's malloc, and this system has another; "
        "keep_memory=false needs nothing"
    ]
    assert not Path("outputs").exists()
