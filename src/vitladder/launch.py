"""`vitladder train` and `plan`: from the command line to runs, checked before anything starts."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from vitladder.compose import (
    check_is_one_run,
    compose_jobs,
    fixed_overrides,
    lists_its_runs,
)
from vitladder.compose_study import compose_study
from vitladder.compute.plan import Plan, plan
from vitladder.data.augment import check as check_augment
from vitladder.data.cache import prepare
from vitladder.errors import UserError
from vitladder.hand_over import Planned, hand_over
from vitladder.runs.invocation import clear_stop, invoked
from vitladder.runs.sweep import invoked_places, print_summary
from vitladder.train.task import place_of, resolved


def launch(arguments: Sequence[str]) -> int:
    """Train the runs that the arguments ask for; return 0 when all are finished, else 1.

    Raises UserError before any of them starts where the config, a plugin or the data is wrong.
    """
    multirun, overrides = _split(arguments, "train")
    listed = not multirun or lists_its_runs(overrides)
    runs = planned(_jobs("train", overrides, multirun) if listed else [fixed_overrides(overrides)])
    waiting = [run for run in runs if run.place.finished() is None]
    places = [run.place for run in runs]
    each_had_its_turn = True
    if waiting or not listed:
        _check(waiting)
        command = shlex.join(["vitladder", "train", *arguments])
        with invoked(command, multirun=multirun) as invocation:
            try:
                each_had_its_turn = hand_over(arguments, waiting if listed else [], invocation)
            finally:
                for folder in {place.study_folder for place in places}:
                    clear_stop(folder, invocation)
        if not listed:
            places = invoked_places(places[0].outputs, places[0].study, invocation)
    return print_summary(places) or int(not each_had_its_turn)


def show_plan(arguments: Sequence[str]) -> int:
    """Print what `train` would do with the same arguments; --json prints one object."""
    as_json = "--json" in arguments
    multirun, overrides = _split([a for a in arguments if a != "--json"], "plan")
    if multirun and not lists_its_runs(overrides):
        raise UserError("plan: a sweeper that searches chooses its runs while it trains them")
    runs = planned(_jobs("plan", overrides, multirun))
    plans = [(run, plan(run.config, run.data)) for run in runs]
    if as_json:
        print(json.dumps(_plan_data(plans), indent=1, allow_nan=False))
    else:
        console = Console(width=None if sys.stdout.isatty() else 120)
        console.print(_plan_table(plans))
    return 0


def planned(jobs: Sequence[Sequence[str]]) -> list[Planned]:
    """Return every different run, resolved; the same run twice is one."""
    runs: dict[Path, Planned] = {}
    for job, composed in zip(jobs, compose_study(jobs), strict=True):
        config, data = resolved(composed)
        run = Planned(job, config, data, place_of(config))
        runs.setdefault(run.place.folder, run)
    return list(runs.values())


def _check(runs: Sequence[Planned]) -> None:
    """Raise UserError for what would fail in a run: plugins, devices, budgets, images."""
    from vitladder.train.compiler import check_compiler
    from vitladder.train.model import check_plugins
    from vitladder.train.optimizer import check_optimizer
    from vitladder.train.parallel import DTYPE, pick_device

    for run in runs:
        device = pick_device(run.config.parallel.device)
        check_plugins(run.config, device.type, DTYPE[run.config.precision.name])
        if run.config.compile:
            check_compiler(device.type)
        check_optimizer(run.config)
        plan(run.config, run.data)
        check_augment(run.config.data.augment, run.config.model.image_size or 0)
    _prepare(runs)


def _prepare(runs: Sequence[Planned]) -> None:
    """Decode the images of every different data set once, before runs side by side would."""
    different = {
        json.dumps([asdict(run.config.data), run.config.model.image_size]): run for run in runs
    }
    for run in different.values():
        size, channels = run.config.model.image_size or 0, run.config.model.channels or 0
        prepare(run.config.data, image_size=size, channels=channels, folder=run.place.cache)


def _jobs(command: str, overrides: Sequence[str], multirun: bool) -> Sequence[Sequence[str]]:
    """Return the overrides of every run; UserError for a study of several without -m."""
    if multirun:
        return compose_jobs(overrides)
    check_is_one_run(overrides, command)
    return [overrides]


def _split(arguments: Sequence[str], command: str) -> tuple[bool, list[str]]:
    """Return whether this is a multirun, and the overrides; UserError for any other flag."""
    flags = [item for item in arguments if item.startswith("-")]
    unknown_flags = [flag for flag in flags if flag not in ("-m", "--multirun")]
    if unknown_flags:
        raise UserError(
            f"{command}: there is no flag {unknown_flags[0]}; give KEY=VALUE settings, and -m for "
            f"a multirun (vitladder --help)"
        )
    return bool(flags), [item for item in arguments if not item.startswith("-")]


def _plan_data(plans: Sequence[tuple[Planned, Plan]]) -> dict[str, object]:
    runs = [{"run_key": run.place.run_key, **asdict(cost)} for run, cost in plans]
    return {"runs": runs, "total": {"flops": sum(cost.flops for _, cost in plans)}}


def _plan_table(plans: Sequence[tuple[Planned, Plan]]) -> Table:
    total = sum(cost.flops for _, cost in plans)
    table = Table(
        title=f"{len(plans)} runs, {total:.3g} training FLOPs (3 x forward matmul)",
        title_justify="left",
        box=box.SIMPLE,
        pad_edge=False,
    )
    for column in ("run", "width", "depth", "N", "FLOPs/image", "C", "steps", "D", "epochs"):
        table.add_column(column, justify="left" if column == "run" else "right", no_wrap=True)
    for run, cost in plans:
        table.add_row(
            run.place.run_key,
            str(run.config.model.width),
            str(run.config.model.depth),
            f"{cost.n_params:,}",
            f"{cost.flops_per_image:.3g}",
            f"{cost.flops:.3g}",
            f"{cost.steps:,}",
            f"{cost.images:,}",
            f"{cost.epochs:.1f}",
        )
    return table
