"""A run that has no room for its step: it halves its micro-batch and goes on where it stopped.

The batch, its order and what is drawn for it stay; only fewer of its images are computed at once.
"""

from __future__ import annotations

import gc
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from vitladder.compute.forecast import Forecast, largest_micro_batch
from vitladder.config import Config
from vitladder.errors import RunFailed, UserError
from vitladder.parallel_rules import check_parallel
from vitladder.runs.atomic import write_text
from vitladder.together import processes_together
from vitladder.train.checkpoint_files import newest_good
from vitladder.train.fit import Outcome
from vitladder.train.world import World

log = logging.getLogger(__name__)

FILE = "halvings.json"
OUT_OF_MEMORY = "out of memory"
# What libraries say where torch has no exception of its own for it.
_SAYS = ("can't allocate memory", OUT_OF_MEMORY, "CUBLAS_STATUS_ALLOC_FAILED", "std::bad_alloc")
# What oneDNN says of code that it has no room to write; where it cannot do a thing, it says more.
_SAYS_ALONE = "could not create a primitive"


@dataclass(frozen=True)
class Halving:
    """From which step on a run had a smaller micro-batch, and what was said before."""

    step: int
    micro_batch: int
    reason: str


def fit_in_memory(
    config: Config, folder: Path, needed: Forecast, world: World, fit: Callable[[Config], Outcome]
) -> Outcome:
    """Fit; where there is no room, halve the micro-batch and fit from the last checkpoint on.

    A run that had to halve it before goes on with that. Raises RunFailed where one image has no
    room, and on several devices at once: all of their processes have to start anew.
    """
    while True:
        try:
            outcome = fit(settled(config, folder))
            break
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            reason = " ".join(str(error).split()[:40]) or type(error).__name__
        now = settled(config, folder)
        if world.layout.devices > 1 or not halve(now, folder, reason):
            raise RunFailed(
                f"{OUT_OF_MEMORY} with a micro-batch of {largest_micro_batch(now)}: "
                f"{_figures(needed)}{_way_out(now)}"
            )
        _release()
    halvings = [asdict(halving) for halving in read_halvings(folder)]
    if not halvings:
        return outcome
    return replace(outcome, measured=outcome.measured | {"out_of_memory": halvings})


def _way_out(config: Config) -> str:
    """Say what a person must do where others have started the processes, which end with this."""
    smaller = _next_smaller(config)
    if processes_together() == 1 or smaller is None:
        return ""
    return f"; give parallel.micro_batch={smaller}"


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that there was no room for a tensor."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    said = str(error)
    found = said == _SAYS_ALONE or any(says in said for says in _SAYS)
    return isinstance(error, RuntimeError) and found


def settled(config: Config, folder: Path) -> Config:
    """Return the config with the micro-batch that an earlier session of this run came down to."""
    halvings = read_halvings(folder)
    if not halvings or largest_micro_batch(config) <= halvings[-1].micro_batch:
        return config
    return _with_micro_batch(config, halvings[-1].micro_batch)


def read_halvings(folder: Path) -> Sequence[Halving]:
    """Return the halvings of a run, in order."""
    file = folder / FILE
    if not file.exists():
        return []
    try:
        return [Halving(**halving) for halving in json.loads(file.read_text(encoding="utf-8"))]
    except (ValueError, TypeError) as error:
        raise UserError(f"{file} is damaged ({error}); remove it, and the run goes on") from error


def halve(config: Config, folder: Path, reason: str) -> bool:
    """Keep the next smaller micro-batch for the run; return whether there is one."""
    before, smaller = largest_micro_batch(config), _next_smaller(config)
    if smaller is None:
        return False
    saved = newest_good(folder)
    step = saved.step if saved else 0
    halvings = [*read_halvings(folder), Halving(step, smaller, reason)]
    write_text(folder / FILE, json.dumps([asdict(halving) for halving in halvings], indent=1))
    said = f"{OUT_OF_MEMORY}: the micro-batch is halved from {before} to {smaller} from step {step}"
    log.warning("%s (%s)", said, reason)
    print(f"{folder.name} {said}", flush=True)
    return True


def _next_smaller(config: Config) -> int | None:
    """Return half the micro-batch, or what is next below it that the layout can have."""
    for candidate in range(largest_micro_batch(config) // 2, 0, -1):
        try:
            check_parallel(_with_micro_batch(config, candidate))
        except UserError:
            continue
        return candidate
    return None


def _with_micro_batch(config: Config, images: int) -> Config:
    """The held-out batches are made smaller too: nobody knows which of both had no room."""
    held_out = max(1, config.data.val_batch_size * images // largest_micro_batch(config))
    return replace(
        config,
        parallel=replace(config.parallel, micro_batch=images),
        data=replace(config.data, val_batch_size=held_out),
    )


def _figures(needed: Forecast) -> str:
    """Say what the planner expected."""
    there = "unknown memory" if needed.memory_bytes is None else _gib(needed.memory_bytes)
    if needed.peak_memory_bytes is None:
        return f"the plan knows no peak; {needed.machine} has {there}"
    return (
        f"the plan was {_gib(needed.peak_memory_bytes)} of tensors at a micro-batch of "
        f"{needed.micro_batch}, and {needed.machine} has {there}"
    )


def _gib(count: int) -> str:
    return f"{count / 2**30:.2f} GiB"


def _release() -> None:
    """Give back what the fit that failed still holds."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
