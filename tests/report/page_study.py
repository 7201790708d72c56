"""Studies on disk for the tests of the page: runs of a known law, and their page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from vitladder.laws.fit import fit_or_reasons
from vitladder.laws.forms import ParametricLaw
from vitladder.report.page import write_page

LAW = ParametricLaw(E=0.3, A=60.0, B=900.0, alpha=0.5, beta=0.55)
COMMAND = "vitladder report outputs/demo"


def write_run(folder: Path, key: str, **changes: Any) -> None:
    """One run's record.json and metrics.csv."""
    run = {"n_params": 4000, "images": 26000, "flops": 1e10, "loss": 1.0, "status": "complete"}
    run |= {"study": "demo", "error": None, "mfu": 0.11} | changes
    record = {
        "schema": 1,
        "run_key": key,
        "study": run["study"],
        "status": run["status"],
        "config": {"model": {"width": 16, "depth": 1, "heads": 1, "patch": 2}},
        "plan": {
            "n_params": run["n_params"],
            "flops": run["flops"],
            "flops_target": run["flops"],
            "flops_per_image": 96 * run["n_params"],
        },
        "results": {
            "images": run["images"],
            "val_loss": run["loss"],
            "val_error": 0.125,
            "images_per_s": 9000.0,
            "mfu": run["mfu"],
            "peak_memory_bytes": 612_000_000,
        },
        "environment": {
            "versions": {"vitladder": "0.1.0", "torch": "2.14.1"},
            "git_commit": "0123abcd",
            "machine": "A machine & two cores",
            "device": "cpu",
            "threads": 1,
        },
        "times": {"seconds": 12.3},
        "forecast": {"seconds": 11.0},
        "command": "vitladder train -m +sweep=demo",
        "error": run["error"],
    }
    (folder / key).mkdir(parents=True)
    (folder / key / "record.json").write_text(json.dumps(record))
    (folder / key / "metrics.csv").write_text(
        "step,images,flops,train_loss,val_loss\n"
        f"100,6400,{run['flops'] / 2},2.1,2.2\n200,12800,{run['flops']},1.9,\n"
        f"200,12800,{run['flops']},,{run['loss'] or ''}\n300,19"
    )


def write_study(folder: Path, budgets: int = 4, **changes: Any) -> Path:
    rng = np.random.default_rng(0)
    for flops in np.geomspace(1e10, 3e11, budgets):
        best = float(LAW.optimal(np.array([flops]), 96.0)[0][0])
        for factor in (0.25, 0.5, 1, 2, 4):
            n_params = round(best * factor)
            images = flops / (96 * n_params)
            loss = float(LAW.loss(np.array([n_params]), np.array([images]))[0])
            write_run(
                folder,
                f"{flops:.3e}-{factor}",
                n_params=n_params,
                images=images,
                flops=float(flops),
                loss=loss * float(np.exp(0.01 * rng.standard_normal())),
                **changes,
            )
    return folder


def page_of(folder: Path, bootstrap: int = 0) -> str:
    fit = fit_or_reasons(folder, bootstrap=bootstrap)
    return write_page(folder, fit, command=COMMAND).read_text(encoding="utf-8")


def runs_of(text: str) -> str:
    """The section of the page with the table of runs."""
    return text.partition('<section id="runs"')[2].partition("</section>")[0]
