"""Processes of one command that torchrun or srun has started beside each other."""

from __future__ import annotations

import os

from vitladder.config import ParallelConfig
from vitladder.errors import UserError
from vitladder.layout import layout_of

# What torchrun and srun tell the processes that they start: their number, and which one this is.
# A batch script of Slurm, which is one process, knows nothing of SLURM_STEP_NUM_TASKS.
_TORCHRUN = ("TORCHELASTIC_RUN_ID", "WORLD_SIZE", "RANK")
_SLURM = ("SLURM_STEP_NUM_TASKS", "SLURM_STEP_NUM_TASKS", "SLURM_PROCID")


def processes_together() -> int:
    """Return how many processes torchrun or srun has started; 1 for a command by itself."""
    for sign, count, _ in (_TORCHRUN, _SLURM):
        if sign in os.environ:
            return int(os.environ.get(count, "1"))
    return 1


def rank_together() -> int:
    """Return which of these processes this is."""
    for sign, _, rank in (_TORCHRUN, _SLURM):
        if sign in os.environ:
            return int(os.environ.get(rank, "0"))
    return 0


def check_together(parallel: ParallelConfig, *, multirun: bool) -> None:
    """Raise UserError where the processes that there are cannot be those of the run."""
    there, asked = processes_together(), layout_of(parallel).devices
    said = f"parallel={parallel.name}"
    if there > 1 and multirun:
        raise UserError(
            f"train -m: {there} processes were started together, and each would train every run "
            f"of the study; start it as one process, which starts those of each run by itself "
            f"({said} parallel.devices=N), or give hydra/launcher=submitit_slurm, a job for a run"
        )
    if there > 1 and there != asked:
        raise UserError(
            f"{there} processes were started together, and {said} with "
            f"parallel.devices={parallel.devices} and parallel.nodes={parallel.nodes} is a run of "
            f"{asked}"
        )
    if there == 1 and parallel.nodes > 1:
        raise UserError(
            f"parallel.nodes={parallel.nodes} needs this command on every node: torchrun "
            f"--nnodes {parallel.nodes} --nproc-per-node {parallel.devices} --node-rank I "
            f"--master-addr HOST -m vitladder train ..., or srun --nodes {parallel.nodes} "
            f"--ntasks-per-node {parallel.devices} --kill-on-bad-exit=1 vitladder train ..."
        )
