"""The files of a run's checkpoints: the newest and the one before, each named by its own checksum.

`checkpoints/step-60.1f0c….ckpt` holds step 60, and its sha256 begins as its name says. So one
rename makes a checkpoint and its checksum appear together, and no list can disagree with the files.
"""

from __future__ import annotations

import hashlib
import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins.io.torch_io import TorchCheckpointIO

from vitladder.errors import UserError
from vitladder.runs.atomic import give_name, unnamed
from vitladder.train.world import World

log = logging.getLogger(__name__)

FOLDER = "checkpoints"
KEPT = 2
# 60 bits, which processes can tell each other as one number.
_DIGITS = 15
_NAME = re.compile(rf"step-(\d+)\.([0-9a-f]{{{_DIGITS}}})\.ckpt")
_DAMAGED = ".damaged"


@dataclass(frozen=True, order=True)
class Saved:
    """One checkpoint by its name: the step that it was saved after, and its checksum."""

    step: int
    checksum: str
    file: Path


def saved_checkpoints(folder: Path) -> list[Saved]:
    """Return the checkpoints of a run's folder by their names, the newest first."""
    files = (folder / FOLDER).glob("*.ckpt")
    named = ((_NAME.fullmatch(file.name), file) for file in files)
    return sorted((Saved(int(m[1]), m[2], file) for m, file in named if m), reverse=True)


def fault_of(saved: Saved) -> str | None:
    """Return what is wrong with a checkpoint, or None; code that a file holds is not run."""
    if _checksum(saved.file) != saved.checksum:
        return "its bytes have changed since it was saved"
    try:
        torch.load(saved.file, map_location="meta", weights_only=True)["global_step"]
    except Exception as error:
        return f"torch cannot load it as plain tensors ({type(error).__name__})"
    return None


def newest_good(folder: Path) -> Saved | None:
    """Return the newest checkpoint that is as it was saved; what is newer is set aside.

    A file that is set aside keeps its bytes under a name that ends in ".damaged".
    """
    for saved in saved_checkpoints(folder):
        fault = fault_of(saved)
        if fault is None:
            return saved
        aside = saved.file.rename(saved.file.with_name(saved.file.name + _DAMAGED))
        said = f"{saved.file} is damaged: {fault}; it is set aside as {aside.name}"
        log.warning(said)
        print(f"vitladder: {said}", flush=True)
    return None


def agreed_checkpoint(folder: Path, world: World) -> Saved | None:
    """Return the checkpoint that all processes go on from: the newest good one, if there is one.

    Raises UserError where some processes do not see the file that the first one found.
    """
    found = newest_good(folder) if world.leads else None
    checksum = world.as_leader_says(int(found.checksum, 16) + 1 if found else 0)
    if not checksum:
        return None
    if not world.leads:
        same = (one for one in saved_checkpoints(folder) if int(one.checksum, 16) + 1 == checksum)
        found = next(same, None)
    if not world.same(found.step if found else 0):
        raise UserError(
            f"not all processes of this run find the checkpoint in {folder / FOLDER}; `outputs` "
            f"must be a folder that all nodes share"
        )
    return found


def new_file(folder: Path) -> Path:
    """Return what to tell Lightning to save a run's next checkpoint to; its name is found then."""
    return folder / FOLDER / "next"


class CheckpointFiles(TorchCheckpointIO):
    """Lightning's way to the files; of a path to save to, only the folder counts (`new_file`)."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None
    ) -> None:
        """Write a checkpoint, flush it, name it, and remove all but the newest two."""
        del storage_options
        folder = Path(path).parent
        folder.mkdir(exist_ok=True)
        with unnamed(folder) as temporary:
            with temporary.open("wb") as file:
                # Not by its name: torch does not say why its own writer fails.
                torch.save(checkpoint, file)
            name = f"step-{checkpoint['global_step']}.{_checksum(temporary)}.ckpt"
            give_name(temporary, folder / name)
        for old in saved_checkpoints(folder.parent)[KEPT:]:
            old.file.unlink(missing_ok=True)

    def load_checkpoint(
        self, path: Any, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Load plain tensors and numbers, whatever Lightning asks for."""
        del weights_only
        loaded: dict[str, Any] = torch.load(path, map_location or "cpu", weights_only=True)
        return loaded


def _checksum(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()[:_DIGITS]
