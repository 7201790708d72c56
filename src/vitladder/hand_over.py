"""Hands runs to Hydra's launchers; a process that is killed takes no other run with it."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from vitladder.compose import register
from vitladder.compute.plan import Plan, plan
from vitladder.config import Config, DataShape
from vitladder.errors import UserError
from vitladder.runs.claim import died
from vitladder.runs.invocation import Invocation, stop_requested
from vitladder.runs.record import write_record
from vitladder.runs.storage import writing_in
from vitladder.runs.sweep import Place
from vitladder.setting_names import CONFIG_MODULE
from vitladder.train.job import Job, new_record
from vitladder.train.task import task

# Set to 1, it lets an exception pass where Hydra would print its traceback and exit.
_FULL_ERROR = "HYDRA_FULL_ERROR"
KILLED = "its process was killed"


@dataclass(frozen=True)
class Planned:
    """One run of a command before it starts, and the overrides that make it."""

    overrides: Sequence[str]
    config: Config
    data: DataShape
    place: Place

    @cached_property
    def cost(self) -> Plan:
        """Its N, C, steps and images."""
        return plan(self.config, self.data)


def hand_over(arguments: Sequence[str], runs: Sequence[Planned], invocation: Invocation) -> bool:
    """Let Hydra train the runs; return whether each of them had its turn.

    A launcher that loses a process may end all of its others too. The runs that were trained then
    are tried again one by one, and one that dies alone is recorded as failed; then the launcher is
    called again for those that are left.
    """
    while (fault := _run_hydra(arguments)) is not None:
        dead = [run for run in runs if died(run.place, invocation.name)]
        print(f"vitladder: {_what_happened(fault, dead)}", file=sys.stderr, flush=True)
        if not dead or stop_requested(dead[0].place.study_folder):
            return False
        stop = any(run.config.on_error == "stop" for run in dead)
        for run in dead:
            if len(dead) > 1 and not stop:
                _run_hydra(["-m", *run.overrides])
            if died(run.place, invocation.name):
                _record_killed(run, invocation)
        if stop:
            return False
    return True


def _run_hydra(arguments: Sequence[str]) -> Exception | None:
    """Let Hydra's sweepers and launchers call `task` for every run; return what stopped them."""
    import hydra

    register(arguments)
    argv, full_error = sys.argv, os.environ.get(_FULL_ERROR)
    sys.argv = ["vitladder", *arguments]
    os.environ[_FULL_ERROR] = "1"
    try:
        hydra.main(f"pkg://{CONFIG_MODULE}", "config", version_base="1.3")(task)()
        return None
    except Exception as error:
        if full_error == "1":
            raise
        return error
    finally:
        sys.argv = argv
        os.environ.pop(_FULL_ERROR)
        if full_error is not None:
            os.environ[_FULL_ERROR] = full_error


def _what_happened(fault: Exception, dead: Sequence[Planned]) -> str:
    """Say in one line what ended the launcher."""
    if isinstance(fault, UserError):
        return str(fault)
    kind = type(fault).__name__
    if dead:
        keys = ", ".join(run.place.run_key for run in dead)
        return f"the launcher lost a process ({kind}) while these runs were trained: {keys}"
    said = " ".join(str(fault).split())
    return f"the launcher stopped early: {kind}: {said} ({_FULL_ERROR}=1 shows where)"


def _record_killed(run: Planned, invocation: Invocation) -> None:
    begun = new_record(Job(run.config, run.data, run.place, invocation))
    with writing_in(run.place.folder):
        write_record(run.place.folder, replace(begun, status="failed", error=KILLED))
    print(f"{run.place.run_key} failed: {KILLED}", flush=True)
