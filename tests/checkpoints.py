"""A run's checkpoints, for tests that read them or put others in their place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from vitladder.train.checkpoint_files import CheckpointFiles, new_file, saved_checkpoints


def last_saved(run: Path) -> dict[str, Any]:
    """What the run's newest checkpoint holds."""
    saved: dict[str, Any] = torch.load(saved_checkpoints(run)[0].file, weights_only=True)
    return saved


def save_instead(run: Path, checkpoint: dict[str, Any]) -> None:
    """Leave this as the run's only checkpoint."""
    for saved in saved_checkpoints(run):
        saved.file.unlink()
    run.mkdir(parents=True, exist_ok=True)
    CheckpointFiles().save_checkpoint(checkpoint, new_file(run))
