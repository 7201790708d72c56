"""What would fail once runs train, found before any of them does; and their data, decoded once."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

from vitladder.data.augment import check as check_augment
from vitladder.data.cache import prepare
from vitladder.errors import UserError
from vitladder.hand_over import Planned
from vitladder.runs.storage import check_writable
from vitladder.runs.wandb_about import check_sweep
from vitladder.together import check_together
from vitladder.train.imports import import_training


def check(runs: Sequence[Planned]) -> None:
    """Raise UserError for what would fail in a run wherever it trains: budgets, images, room."""
    for run in runs:
        _check_is_here(run)
        check_sweep(run.config.logger.name)
    import_training()
    from vitladder.train.optimizer import check_optimizer

    for run in runs:
        n_params = run.cost.n_params  # before a model is built: the plan refuses in its own words
        check_optimizer(run.config)
        check_augment(run.config.data.augment, run.config.model.image_size or 0)
        check_writable(run.place.study_folder, _checkpoint_bytes(run, n_params))


def _checkpoint_bytes(run: Planned, n_params: int) -> int:
    """Return what a run's checkpoints will take more: weights, two moments, their average.

    Two are kept while a third is written; those that lie there already need no more room.
    """
    from vitladder.train.checkpoint_files import KEPT, saved_checkpoints

    copies = 4 if run.config.optim.ema is not None else 3
    element = 8 if run.config.precision.name == "fp64" else 4
    missing = KEPT + 1 - len(saved_checkpoints(run.place.folder)[:KEPT])
    return missing * copies * element * n_params


def check_here(runs: Sequence[Planned]) -> None:
    """Raise UserError for what this machine cannot train: devices, plugins, compilers."""
    from vitladder.train.compiler import check_compiler
    from vitladder.train.device import DTYPE, pick_device
    from vitladder.train.heap import check_allocator
    from vitladder.train.parallel import check_parallel_here
    from vitladder.train.plugin_outputs import check_outputs
    from vitladder.train.precision import check_precision
    from vitladder.train.serving import check_plugins

    for run in runs:
        check_together(run.config.parallel, multirun=False)
        device = pick_device(run.config.parallel.device)
        check_precision(run.config.precision.name, device)
        check_parallel_here(run.config, device)
        check_plugins(run.config, device.type, DTYPE[run.config.precision.name])
        check_outputs(run.config, device)
        if run.config.compile:
            check_compiler(device.type)
        if run.config.keep_memory:
            check_allocator(device.type)


def _check_is_here(run: Planned) -> None:
    if run.config.hardware is not None:
        raise UserError(
            f"hardware={run.config.hardware} is for `vitladder plan`; a run trains on the machine "
            f"that is here"
        )


def prepare_data(runs: Sequence[Planned]) -> None:
    """Decode the images of every different data set once, before runs side by side would."""
    different = {
        json.dumps([asdict(run.config.data), run.config.model.image_size]): run for run in runs
    }
    for run in different.values():
        size, channels = run.config.model.image_size or 0, run.config.model.channels or 0
        prepare(run.config.data, image_size=size, channels=channels, folder=run.place.cache)
