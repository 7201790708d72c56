"""Sweeps that are no list of runs, options and places of commands, and what is said of each."""

from __future__ import annotations

import os
from pathlib import Path

from bad_runs import (
    SUGGEST,
    Case,
    all_of,
    file,
    fit_with,
    nothing,
    sound_rows,
    table,
    three_runs,
)
from cases_plugins import ENCODING, TRAIN, plugin


def link_to_nowhere_and_pipe() -> None:
    """What an editor leaves beside a plugin, and a pipe that nobody writes to."""
    folder = Path("plugins/attention")
    folder.mkdir(parents=True)
    (folder / "lost.py").symlink_to("nowhere")
    os.mkfifo(folder / "pipe.py")


def swept(name: str, *settings: str, says: tuple[str, ...]) -> Case:
    return Case(name, nothing, ("train", "-m", *settings), says)


SWEEPS = [
    swept(
        "more runs than memory holds",
        "seed=range(0,1000000000)",
        says=("'seed=range(0,1000000000)' makes 1,000,000,000 runs", "at most 100,000"),
    ),
    swept(
        "many runs of few values",
        *("seed=range(0,1000)", "model.width=range(8,8008,8)"),
        says=("'model.width=range(8,8008,8)' makes 1,000,000 runs", "at most 100,000"),
    ),
    swept("a range without an end", "seed=range(0,inf)", says=("range(START,STOP,STEP)",)),
    swept("a range that stays", "seed=range(0,9,0)", says=("range(0,9,0)", "STEP not 0")),
    swept("names that are searched for", "model=glob(s*)", says=("glob(s*)", "model=A,B")),
    swept("an interval", "optim.lr=interval(0,1)", says=("hydra/sweeper=optuna", "optim.lr=1,2,3")),
    swept(
        "several numbers of one launcher",
        *("seed=0,1", "hydra/launcher=joblib", "hydra.launcher.n_jobs=1,2"),
        says=("hydra.launcher.n_jobs=1,2", "one launcher"),
    ),
    swept(
        "what is swept, twice removed",
        "+hydra.sweeper.params={seed: 1}",
        says=("hydra.sweeper.params", "KEY=VALUE,VALUE"),
    ),
    swept("an added launcher", "+hydra/launcher=joblib", says=("write hydra/launcher=NAME",)),
    swept("a number of 5,000 digits", "seed=" + "9" * 5000, says=("seed=999", "too long")),
]

SOUND_FIT = fit_with("schema", value=2)

OPTIONS = [
    Case("a budget of nothing", SOUND_FIT, (*SUGGEST[:-1], "1"), ("--budget 1:", "FLOPs each")),
    Case("a budget of all", SOUND_FIT, (*SUGGEST[:-1], "1e300"), ("--budget 1e+300:",)),
    Case(
        "more draws than memory holds",
        table(*sound_rows()),
        ("fit", "runs.csv", "--bootstrap", "99999999999"),
        ("--bootstrap is 99999999999", "at most 1000000"),
    ),
    Case(
        "a file where figures go",
        all_of(three_runs, file("study/figures", "mine")),
        ("report", "study"),
        ("study: the page cannot be written there", "study/figures"),
    ),
    Case(
        "a kernel on a device that there is not",
        nothing,
        ("plugins", "check", "sdpa", "--device", "tpu"),
        ("--device tpu is not here", "give cpu"),
    ),
    Case("a broken plugin, listed", plugin("class ("), ("plugins",), ("mine.py, line 1",)),
    Case(
        "a link to nowhere for a plugin",
        link_to_nowhere_and_pipe,
        ("train", "attention=lost"),
        ("no attention plugin 'lost'", "(have: flash"),
    ),
    Case("a command of two lines", nothing, ("tr\nain",), ("no command 'tr ain'", "'train'")),
]

TABLES = [
    Case(
        f"parameters {what}",
        plugin(ENCODING.format(body=f"def parameters(self, shape): return {given}"), "position"),
        (*TRAIN, "position=mine"),
        ("parameters of the encoding Mine gives", "tensors of floats"),
    )
    for what, given in {
        "that are counts": "{'table': torch.zeros(3, dtype=torch.int64)}",
        "with a point in their name": "{'a.b': torch.zeros(3)}",
        "in a list": "[torch.zeros(3)]",
    }.items()
]

LAYERS = Case(
    "an encoding that raises in the last layer",
    plugin(
        ENCODING.format(
            body="def rotate(self, q, k, grid, layer): return None if layer else (q, k)"
        ),
        "position",
    ),
    ("train", "model=micro", "compute.steps=1", "logger=csv", "position=mine"),
    ("position=mine: rotate gives nothing", "pair of q and k"),
)

COMMANDS = [*SWEEPS, *OPTIONS, *TABLES, LAYERS]
