"""The key that names a run: what its result depends on, and nothing else."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from vitladder.config import Config, ParallelConfig, flatten
from vitladder.extend import registry

# What changes no result: the same run on another disk, device or screen has the same key.
NOT_SCIENTIFIC = [
    "study",
    "outputs",
    "threads",
    "compile",
    "keep_memory",
    "hardware",
    "price",
    "on_error",
    "log_every",
    "evaluations",
    "checkpoint_seconds",
    "logger",
    "ladder",
    "parallel",
    "data.path",
    "data.on_error",
    "data.cache",
    "data.cache_gib",
    "data.val_batch_size",
]
# Settings that came later than the first runs, with what those runs had, which names them so.
LATER = {"tune": False, "attention.products": "wide", "optim.ema": None}


def run_key(config: Config, data: str) -> str:
    """Return the 12 hexadecimal digits that name a run: a hash of its scientific settings.

    The model must be resolved (image_size, channels and classes known); `data` is the fingerprint
    of the images and labels. The source of a plugin from elsewhere counts: edited, it is another
    run. Paths, loggers, devices and what only shows or stores results do not count.
    """
    science = {
        key: value
        for key, value in flatten(config).items()
        if key not in NOT_SCIENTIFIC and key.split(".")[0] not in NOT_SCIENTIFIC
        if key not in LATER or value != LATER[key]
    } | _compression(config.parallel)
    plugins = [registry.find(kind, getattr(config, kind)["name"]) for kind in registry.KINDS]
    code = {plugin.kind: source for plugin in plugins if (source := plugin.foreign_code())}
    text = json.dumps([science, data, *([code] if code else [])], sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _compression(parallel: ParallelConfig) -> dict[str, Any]:
    """What compressed gradients lose is in the results; other ways to share a run lose nothing."""
    if parallel.compress == "none":
        return {}
    how: dict[str, Any] = {"parallel.compress": parallel.compress}
    if parallel.compress == "powersgd":
        how["parallel.compress_rank"] = parallel.compress_rank
        how["parallel.compress_from"] = parallel.compress_from
        how["parallel.devices"] = parallel.devices * parallel.nodes
    return how
