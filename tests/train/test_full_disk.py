"""A disk that is full, read-only or gone: one clear line, and the run goes on when it is there."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import forked
import pytest
from checkpoints import last_saved

from vitladder.train.checkpoint_files import newest_good

DISK = Path("disk")
SETTINGS = ["logger=csv", "threads=1", "log_every=1", "checkpoint_seconds=1e-9", "data.cache=cache"]
SETTINGS += ["model.width=32", "model.depth=2", "compute.steps=60", "outputs=disk/outputs"]


@pytest.fixture
def disk() -> Iterator[Path]:
    """A disk of 4 MiB; only root can mount one."""
    DISK.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(DISK)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("this user cannot mount a small disk")
    yield DISK
    subprocess.run(["umount", "-l", str(DISK)], check=True)


def fill(left_kib: int) -> None:
    """Leave so much room on the disk."""
    free = shutil.disk_usage(DISK).free
    with (DISK / "filling").open("ab") as file:
        file.write(b"\0" * (free - left_kib * 1024))


def train(*settings: str) -> subprocess.CompletedProcess[str]:
    return forked.run("train", *SETTINGS, *settings)


def the_run() -> Path:
    [folder] = (DISK / "outputs/default").iterdir()
    return folder


def assert_one_line(done: subprocess.CompletedProcess[str], says: str) -> None:
    lines = [line for line in done.stdout.splitlines() if " failed: " in line]
    assert len(lines) == 1, done.stdout
    assert says in lines[0]
    assert "Traceback" not in done.stdout + done.stderr
    assert len(done.stderr.splitlines()) <= 1, done.stderr
    assert done.returncode == 1


@pytest.mark.slow
def test_a_disk_that_fills_up_ends_the_run_which_goes_on_when_there_is_room(disk: Path) -> None:
    whole = train("outputs=outputs")
    assert whole.returncode == 0
    fill(1700)  # enough for three checkpoints of 0.4 MiB as the command starts
    process = forked.start(["train", *SETTINGS], Path("said").absolute())
    while not list(disk.glob("outputs/*/*/checkpoints/step-2*.ckpt")) and process.is_alive():
        process.join(0.001)
    fill(0)
    process.join(60)
    done = subprocess.CompletedProcess(
        [], process.exitcode or 0, Path("said.out").read_text(), Path("said.err").read_text()
    )
    assert_one_line(done, "there is no room left on the disk")
    found = newest_good(the_run())
    assert found is not None
    assert 0 < found.step < 60
    assert not list(the_run().glob("checkpoints/.*"))

    (disk / "filling").unlink()
    assert train().returncode == 0
    [there] = Path("outputs/default").iterdir()
    for name, value in last_saved(there)["state_dict"].items():
        assert value.equal(last_saved(the_run())["state_dict"][name])
    assert json.loads((the_run() / "record.json").read_text())["status"] == "complete"


@pytest.mark.slow
def test_a_disk_that_is_full_or_read_only_is_refused_before_anything_starts(disk: Path) -> None:
    fill(400)
    done = train()
    assert done.returncode == 2
    assert done.stderr.startswith("vitladder: disk/outputs/default has 0 MiB free, and the checkp")
    assert done.stderr.endswith("make room, or give another folder with outputs=...\n")
    (disk / "filling").unlink()
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    done = train()
    assert done.returncode == 2
    assert done.stderr.startswith(
        "vitladder: cannot write in disk/outputs/default: the disk is rea"
    )
    assert not (disk / "outputs").exists()


def all_of_it(folder: Path) -> None:
    """Remove a run, which may make a file meanwhile."""
    shutil.rmtree(folder, ignore_errors=True)


def its_rows(folder: Path) -> None:
    """Remove what a run writes its rows to, and nothing else."""
    (folder / "metrics.csv").unlink()


@pytest.mark.slow
@pytest.mark.parametrize("removed", [all_of_it, its_rows])
def test_what_vanishes_is_one_line_and_the_next_run_has_its_turn(
    removed: Callable[[Path], None],
) -> None:
    process = forked.start(
        ["train", "-m", *SETTINGS, "seed=0,1", "compute.steps=300"], Path("said").absolute()
    )
    while not list(DISK.glob("outputs/*/*/checkpoints/step-2*.ckpt")) and process.is_alive():
        process.join(0.001)
    begun, *_ = DISK.glob("outputs/default/*/checkpoints/step-2*.ckpt")
    removed(begun.parents[1])
    process.join(120)
    said = Path("said.out").read_text()
    done = subprocess.CompletedProcess([], process.exitcode or 0, said, "")
    assert_one_line(done, "the folder is gone; what is recorded there stays")
    assert said.count(" complete: ") == 1
