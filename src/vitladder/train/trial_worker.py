"""The process in which one way of training is measured: it keeps its model and waits for orders.

    python -m vitladder.train.trial_worker

Orders and answers are lines of JSON on stdin and stdout. The first order is a config, answered
with what the first step took and holds; each further one asks for steps until some seconds have
passed, answered with their count and time. The end of stdin is the end of the process.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import torch
from omegaconf import OmegaConf
from torch import Tensor

from vitladder.compose import from_hydra
from vitladder.config import Config
from vitladder.layout import pieces
from vitladder.train.allocation import peak_bytes
from vitladder.train.device import DTYPE, pick_device
from vitladder.train.heap import keep_freed_memory
from vitladder.train.model import build_model
from vitladder.train.optimizer import build_optimizer
from vitladder.train.serving import check_plugins
from vitladder.train.step import accumulate_gradient


class Worker:
    """A model, its optimizer and one batch of random images."""

    def __init__(self, config: Config) -> None:
        """Build them from the config's seed."""
        if config.keep_memory:
            keep_freed_memory()
        torch.set_num_threads(config.threads or torch.get_num_threads())
        torch.manual_seed(config.seed)
        self.device = pick_device(config.parallel.device)
        check_plugins(config, self.device.type, DTYPE[config.precision.name])
        self.half = config.precision.name == "bf16"
        self.pieces = pieces(config)
        self.clip = config.optim.clip
        self.model = build_model(config).to(self.device).train()
        self.optimizer = build_optimizer(config, self.model)
        if config.compile:
            self.model.compile_blocks(config.compile)
        model, batch = config.model, config.data.batch_size
        size, channels = model.image_size or 0, model.channels or 0
        self.images = torch.randn(batch, channels, size, size, device=self.device)
        self.labels = torch.randint(model.classes or 1, (batch,), device=self.device)

    def window(self, seconds: float) -> dict[str, float]:
        """Train until `seconds` have passed, one step at least; return the steps and their time."""
        began, steps = time.perf_counter(), 0
        while not steps or time.perf_counter() - began < seconds:
            self._step()
            steps += 1
        return {"steps": steps, "seconds": time.perf_counter() - began}

    def peak_memory(self) -> int:
        """Return the most bytes that tensors hold during a step."""
        # A step releases the gradients of the one before: they are no part of what it starts with.
        self.optimizer.zero_grad()
        return peak_bytes(lambda: self.window(0), self._held(), self.device)

    def _step(self) -> None:
        self.optimizer.zero_grad()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.half):
            kept = self.model.draw_kept(len(self.images))
            accumulate_gradient(self.model, self.images, self.labels, kept, pieces=self.pieces)
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.clip)
        self.optimizer.step()
        if self.device.type != "cpu":
            getattr(torch, self.device.type).synchronize()

    def _held(self) -> Iterator[Tensor]:
        yield from (self.images, self.labels, *self.model.parameters(), *self.model.buffers())
        for state in self.optimizer.state.values():
            yield from (value for value in state.values() if isinstance(value, Tensor))


def answer(worker: Worker | None, order: dict[str, Any]) -> tuple[Worker | None, dict[str, Any]]:
    """Carry out one order; return the worker that it leaves, and the answer."""
    if worker is None:
        worker = Worker(from_hydra(OmegaConf.create(order["config"])))
        first, second = (worker.window(0)["seconds"] for _ in range(2))
        ready = {"startup_seconds": max(0.0, first - second)}
        return worker, ready | {"memory_bytes": worker.peak_memory()}
    return worker, worker.window(order["seconds"])


def main() -> None:
    """Answer orders until there are no more; a fault is the last answer."""
    # Ctrl-C is for the command, which closes stdin.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    warnings.simplefilter("ignore")
    _die_first()
    answers, worker = _own_stdout(), None
    for line in sys.stdin:
        try:
            worker, said = answer(worker, json.loads(line))
        except Exception as error:
            said = {"error": f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"}
        print(json.dumps(said), file=answers, flush=True)
        if "error" in said:
            break


def _die_first() -> None:
    """Let Linux end this process, and no other, where a way of training needs too much memory."""
    score = Path("/proc/self/oom_score_adj")
    # A container may not let it; the process is then as likely to end as any other.
    with suppress(OSError):
        score.write_text("1000", encoding="ascii")


def _own_stdout() -> IO[str]:
    """Keep stdout for answers; what libraries print goes to stderr."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return answers


if __name__ == "__main__":
    main()
