"""Checkpoint files: two are kept, a damaged one is set aside, and code in one is not run."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from vitladder.runs.atomic import remove_unfinished
from vitladder.train.checkpoint_files import (
    CheckpointFiles,
    Saved,
    fault_of,
    new_file,
    newest_good,
    saved_checkpoints,
)

RUN = Path("run")


def save(*steps: int) -> None:
    """Save a checkpoint at each of these steps."""
    RUN.mkdir(exist_ok=True)
    for step in steps:
        weights = {"w": torch.full((1000,), float(step))}
        CheckpointFiles().save_checkpoint(
            {"global_step": step, "state_dict": weights}, new_file(RUN)
        )


def newest_step() -> int | None:
    found = newest_good(RUN)
    return found.step if found else None


def flip_a_bit(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def cut_in_half(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def empty(file: Path) -> None:
    os.truncate(file, 0)


def test_the_newest_and_its_predecessor_are_kept_by_steps_as_numbers() -> None:
    save(8, 9, 10, 100)
    assert [saved.step for saved in saved_checkpoints(RUN)] == [100, 10]
    assert newest_step() == 100
    assert len(list((RUN / "checkpoints").iterdir())) == 2


@pytest.mark.parametrize("damage", [flip_a_bit, cut_in_half, empty])
def test_a_damaged_checkpoint_is_set_aside_and_the_older_is_used(
    damage: Callable[[Path], None], capsys: pytest.CaptureFixture[str]
) -> None:
    save(1, 2)
    newest = saved_checkpoints(RUN)[0].file
    damage(newest)
    bytes_left = newest.read_bytes()
    assert newest_step() == 1
    said = capsys.readouterr().out
    assert f"{newest} is damaged: its bytes have changed since it was saved" in said
    assert newest.with_name(newest.name + ".damaged").read_bytes() == bytes_left
    save(2)
    assert newest_step() == 2


def test_where_all_are_damaged_the_run_begins_anew() -> None:
    save(1, 2)
    for saved in saved_checkpoints(RUN):
        cut_in_half(saved.file)
    assert newest_step() is None
    assert len(list((RUN / "checkpoints").glob("*.damaged"))) == 2


class Bomb:
    """Unpickled, it makes a file."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, ("exploded",)


def test_code_in_a_checkpoint_is_refused_even_under_its_right_checksum() -> None:
    save(1)
    CheckpointFiles().save_checkpoint({"global_step": 2, "state_dict": Bomb()}, new_file(RUN))
    bomb = saved_checkpoints(RUN)[0]
    assert fault_of(bomb) == "torch cannot load it as plain tensors (UnpicklingError)"
    with pytest.raises(Exception, match="Weights only load failed"):
        CheckpointFiles().load_checkpoint(bomb.file, weights_only=False)
    assert newest_step() == 1
    assert not Path("exploded").exists()


def test_other_files_are_not_checkpoints() -> None:
    save(1)
    for name in (
        "last.ckpt",
        "step-7.ckpt",
        "step-7.0123456789abcde.ckpt.damaged",
        "step-7.x.ckpt",
    ):
        (RUN / "checkpoints" / name).write_text("mine")
    assert newest_step() == 1


def test_what_a_killed_process_left_half_written_goes_and_nothing_else() -> None:
    save(1)
    left = RUN / "checkpoints" / ".abc.unfinished"
    left.write_text("half")
    kept = {*saved_checkpoints(RUN)}
    remove_unfinished(RUN / "checkpoints")
    assert {*saved_checkpoints(RUN)} == kept
    assert not left.exists()


def test_bytes_reach_the_disk_before_the_name_does(monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []
    fsync, replace = os.fsync, os.replace

    def flushed(descriptor: int) -> None:
        events.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        fsync(descriptor)

    def renamed(source: Any, target: Any, **rest: Any) -> None:
        events.append("rename")
        replace(source, target, **rest)

    monkeypatch.setattr(os, "fsync", flushed)
    monkeypatch.setattr(os, "replace", renamed)
    save(1)
    written, rename, folder = events
    assert written.endswith(".unfinished")
    assert rename == "rename"
    assert Path(folder) == (RUN / "checkpoints").resolve()


def test_a_checkpoint_is_named_by_its_step_and_checksum() -> None:
    save(3)
    [saved] = saved_checkpoints(RUN)
    assert saved == Saved(3, saved.checksum, RUN / f"checkpoints/step-3.{saved.checksum}.ckpt")
