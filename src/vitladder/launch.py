"""`vitladder train` and `plan`: from the command line to runs, checked before anything starts."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from vitladder.before_training import check, check_here, prepare_data
from vitladder.compose import (
    check_is_one_run,
    compose_config,
    compose_jobs,
    fixed_overrides,
    lists_its_runs,
    trains_elsewhere,
    trains_side_by_side,
)
from vitladder.compose_study import compose_study
from vitladder.compute.forecast import forecast
from vitladder.compute.machine import machine_of
from vitladder.compute.ways_out import ways_out
from vitladder.errors import UserError
from vitladder.hand_over import Planned, hand_over
from vitladder.live import shown_while_training
from vitladder.plan_table import PlannedCost, plan_data, plan_table, shortages, totals
from vitladder.requeue import requeued
from vitladder.runs.announced import Announced, announced, forget_the_dead
from vitladder.runs.claim import is_busy, left_over, wait_for_one
from vitladder.runs.invocation import Invocation, clear_stop, invoked, stop_requested
from vitladder.runs.sweep import Place, invoked_places, print_summary
from vitladder.runs.wandb_about import check_agent
from vitladder.side_by_side import workers_save_first
from vitladder.together import check_together, rank_together
from vitladder.train.task import place_of, resolved


def launch(arguments: Sequence[str]) -> int:
    """Train the runs that the arguments ask for; return 0 when all are finished, else 1.

    Raises UserError before any of them starts where the config, a plugin or the data is wrong.
    """
    with requeued():
        return _launch(arguments)


def _launch(arguments: Sequence[str]) -> int:
    multirun, overrides = _split(arguments, "train")
    if multirun:
        check_agent()
        check_together(compose_config(fixed_overrides(overrides)).parallel, multirun=True)
    listed = not multirun or lists_its_runs(overrides)
    runs = planned(_jobs("train", overrides, multirun) if listed else [fixed_overrides(overrides)])
    waiting = [run for run in runs if run.place.finished() is None]
    places = [run.place for run in runs]
    each_had_its_turn = True
    for study in {place.study_folder for place in places}:
        forget_the_dead(study)
    if waiting or not listed:
        check(waiting)
        if not (multirun and trains_elsewhere(overrides)):
            check_here(waiting)
        prepare_data(waiting)
        command = shlex.join(["vitladder", "train", *arguments])
        shown, comes_back = multirun and sys.stderr.isatty(), multirun and listed
        with invoked(command, multirun=multirun, comes_back=comes_back, shown=shown) as invocation:
            each_had_its_turn = _train(overrides, runs, waiting if listed else [], invocation)
        if not listed:
            places = invoked_places(places[0].outputs, places[0].study, invocation)
    if rank_together():
        return int(not each_had_its_turn)
    return print_summary(places) or int(not each_had_its_turn)


def _train(
    overrides: Sequence[str],
    runs: Sequence[Planned],
    waiting: Sequence[Planned],
    invocation: Invocation,
) -> bool:
    """Train those that wait, and return whether each had its turn."""
    # Hydra reads settings on one side of its flag alone.
    ordered = [*(["-m"] if invocation.multirun else []), *overrides]
    studies = sorted({run.place.study_folder for run in runs})
    workers = invocation.comes_back and trains_side_by_side(overrides)
    with ExitStack() as stack:
        for study in studies:
            stack.callback(clear_stop, study, invocation)
            if rank_together() == 0:
                stack.enter_context(announced(study, invocation, _announced(study, waiting)))
        if invocation.shown:
            stack.enter_context(shown_while_training(studies, invocation))
        if workers:
            stack.enter_context(workers_save_first(studies))
        return _hand_over_all(ordered, waiting, invocation)


def _announced(study: Path, runs: Sequence[Planned]) -> list[Announced]:
    """Return what the command will train in a study, for who looks on."""
    return [
        Announced(
            run_key=run.place.run_key,
            shape=f"{run.config.model.width}x{run.config.model.depth}",
            n_params=run.cost.n_params,
            flops=run.cost.flops,
        )
        for run in runs
        if run.place.study_folder == study
    ]


def _hand_over_all(ordered: Sequence[str], runs: Sequence[Planned], invocation: Invocation) -> bool:
    """Train the runs, and come back to those that another command was training meanwhile.

    Returns whether each had its turn.
    """
    left: list[Place] = []
    places = [run.place for run in runs]
    while True:
        if not hand_over(ordered, runs, invocation):
            return False
        before, left = left, left_over(places, invocation.name)
        stopped = any(stop_requested(place.study_folder) for place in left)
        if not left or stopped or (left == before and not any(is_busy(place) for place in left)):
            return True
        wait_for_one(left)


def show_plan(arguments: Sequence[str]) -> int:
    """Print what `train` would do with the same arguments; --json prints one object."""
    as_json = "--json" in arguments
    multirun, overrides = _split([a for a in arguments if a != "--json"], "plan")
    if multirun and not lists_its_runs(overrides):
        raise UserError("plan: a sweeper that searches chooses its runs while it trains them")
    runs = _different(_jobs("plan", overrides, multirun))
    costs = [_cost(run) for run in runs]
    total = totals(costs)
    if as_json:
        print(json.dumps(plan_data(costs, total), indent=1, allow_nan=False))
        return 0
    console = Console(width=None if sys.stdout.isatty() else 150)
    console.print(plan_table(costs, total))
    for line in shortages(costs):
        print(line)
    return 0


def _cost(run: Planned) -> PlannedCost:
    cost, machine = run.cost, machine_of(run.config)
    needed = forecast(run.config, run.data, cost, machine)
    ways = [] if needed.fits else ways_out(run.config, run.data, cost, machine)
    return PlannedCost(run, machine, cost, needed, ways)


def planned(jobs: Sequence[Sequence[str]]) -> list[Planned]:
    """Return every different run, resolved; the same run twice is one, which is said."""
    runs: dict[Path, Planned] = {}
    each = _different(jobs)
    for run in each:
        runs.setdefault(run.place.folder, run)
    if len(runs) < len(each):
        print(
            f"vitladder: {len(each) - len(runs)} of {len(each)} runs differ from another in what "
            f"changes no result (as compile, threads, devices do) and are not trained again",
            file=sys.stderr,
        )
    return list(runs.values())


def _different(jobs: Sequence[Sequence[str]]) -> list[Planned]:
    """Return the runs, resolved, without those whose config is another's in all."""
    runs: dict[str, Planned] = {}
    for job, composed in zip(jobs, compose_study(jobs), strict=True):
        config, data = resolved(composed)
        key = json.dumps(asdict(config), sort_keys=True)
        if key not in runs:
            runs[key] = Planned(job, config, data, place_of(config))
    return list(runs.values())


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
