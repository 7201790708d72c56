"""A run that computes on a number of threads leaves the process as it found it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from vitladder.compose import compose_config
from vitladder.runs.invocation import current
from vitladder.train.job import Job
from vitladder.train.loop import train
from vitladder.train.task import place_of, resolved


@pytest.mark.slow
def test_threads_are_those_of_the_run_and_then_as_before(tmp_path: Path) -> None:
    torch.set_num_threads(3)
    settings = ["model=micro-8", "compute.steps=1", "threads=2", "logger=csv"]
    config, data = resolved(compose_config([*settings, f"outputs={tmp_path}"]))
    place = place_of(config)
    place.folder.mkdir(parents=True)
    done = train(Job(config, data, place, current()))
    assert done.environment["threads"] == 2
    assert torch.get_num_threads() == 3
    assert done.forecast["micro_batch"] == 64
    assert done.forecast["peak_memory_bytes"] > 0
