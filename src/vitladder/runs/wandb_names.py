"""The names that a run's figures have in W&B, where those of a group stand side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

C = "compute/flops"
"""The axis of every curve, unless one chooses another."""

TOKENS, STEP_MS = "data/tokens", "perf/step_ms"
"""What follows from the others: tokens seen, and milliseconds of a step."""

AXES = (C, "data/images", TOKENS, "step")

NAMES = {
    "flops": C,
    "images": "data/images",
    "train_loss": "train/loss",
    "val_loss": "val/loss",
    "best_val_loss": "val/best_loss",
    "val_error": "val/error",
    "val_top5_error": "val/top5_error",
    "lr": "optim/lr",
    "grad_norm": "optim/grad_norm",
    "loss_scale": "optim/loss_scale",
    "skipped_steps": "optim/skipped_steps",
    "images_per_s": "perf/images_per_s",
    "mfu": "perf/mfu",
    "peak_memory_bytes": "perf/peak_memory",
    "steps": "data/steps",
    "n_params": "model/n_params",
}
"""By what metrics.csv and record.json call them; what has no name here keeps its own."""


def in_wandb(figures: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a run's figures under their names in W&B, those that are known.

    With them the tokens seen (images x tokens of an image) and the milliseconds of a step (batch
    over images/s), where the run's flat config says what they need.
    """
    known = {NAMES.get(key, key): value for key, value in figures.items() if value is not None}
    images, speed = known.get("data/images"), known.get("perf/images_per_s")
    planned, tokens = config.get("plan.images"), config.get("plan.tokens")
    if images is not None and planned and tokens:
        known[TOKENS] = images * tokens / planned
    batch = config.get("data.batch_size")
    if speed and batch:
        known[STEP_MS] = 1000 * batch / speed
    return known
