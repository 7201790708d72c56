"""A study on disk: real record.json files of runs from a known law."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from vitladder.laws.forms import ParametricLaw

LAW = ParametricLaw(E=0.3, A=60.0, B=900.0, alpha=0.5, beta=0.55)
FLOPS_PER_PARAM_IMAGE = 96.0
BUDGETS = (1e10, 3e10, 1e11, 3e11)


def write_run(folder: Path, key: str, **changes: Any) -> None:
    """One record.json; `changes` replaces numbers, the status, the attention or the data."""
    run = {"n_params": 4000, "images": 26000, "flops": 1e10, "target": 1e10, "loss": 1.0}
    run |= {"status": "complete", "attention": "sdpa", "data": "0a1b"} | changes
    record = {
        "schema": 1,
        "run_key": key,
        "study": "demo",
        "status": run["status"],
        "config": {
            "model": {"width": 16, "depth": 1, "heads": 1, "patch": 2},
            "attention": {"name": run["attention"]},
        },
        "plan": {"n_params": run["n_params"], "flops": run["flops"], "flops_target": run["target"]},
        "results": {"images": run["images"], "val_loss": run["loss"]},
        "environment": {"data": run["data"]},
    }
    (folder / key).mkdir(parents=True)
    (folder / key / "record.json").write_text(json.dumps(record))


def write_study(
    folder: Path, noise: float = 0.0, spread: tuple[float, ...] = (0.25, 0.5, 1, 2, 4)
) -> Path:
    """Budgets x sizes around LAW's optimum, with seeded log-normal noise."""
    rng = np.random.default_rng(0)
    for flops in BUDGETS:
        best = float(LAW.optimal(np.array([flops]), FLOPS_PER_PARAM_IMAGE)[0][0])
        for factor in spread:
            n_params = round(best * factor)
            images = round(flops / (FLOPS_PER_PARAM_IMAGE * n_params))
            loss = float(LAW.loss(np.array([n_params]), np.array([images]))[0])
            write_run(
                folder,
                f"{flops:.0e}-{factor}",
                n_params=n_params,
                images=images,
                flops=FLOPS_PER_PARAM_IMAGE * n_params * images,
                target=flops,
                loss=loss * float(np.exp(noise * rng.standard_normal())),
            )
    return folder
