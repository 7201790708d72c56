"""What is picked of what was measured, and why."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from vitladder.compose import compose_config
from vitladder.compute.plan import resolve
from vitladder.config import DataShape
from vitladder.errors import UserError
from vitladder.train.candidates import Choice, asked
from vitladder.train.measures import Candidate, measures_file
from vitladder.train.tune import FILE, pick, tune

ASKED = Choice("sdpa", "fp32", False, None, 2)
HALF = replace(ASKED, precision="bf16", attention="naive")
COMPILED = replace(HALF, compile=True)
MEASURED = [
    Candidate(ASKED, images_per_s=50.0, startup_seconds=0.0),
    Candidate(HALF, images_per_s=80.0, startup_seconds=0.0),
    Candidate(COMPILED, images_per_s=120.0, startup_seconds=30.0),
    Candidate(replace(COMPILED, micro_batch=8), None, None, failed="RuntimeError: no"),
]


@pytest.mark.parametrize(("images", "choice"), [(1_000, HALF), (10_000, COMPILED)])
def test_compilation_is_picked_where_the_run_is_long_enough_to_pay_for_it(
    images: int, choice: Choice
) -> None:
    assert pick(MEASURED, ASKED, images).choice == choice


def test_one_line_says_what_was_picked_and_why() -> None:
    assert pick(MEASURED, ASKED, 12_000).why == (
        "naive, bf16, compiled, 2 threads: 120 images/s; sdpa, fp32, 2 threads, which was "
        "asked, had 50; 12,000 images in about 130 s, of which 30 s to start (4 ways measured)"
    )


def test_what_was_asked_stays_where_nothing_is_faster() -> None:
    slower = [MEASURED[0], Candidate(HALF, images_per_s=40.0, startup_seconds=0.0)]
    tuned = pick(slower, ASKED, 1_000)
    assert tuned.choice == ASKED
    assert "asked" not in tuned.why


def test_a_choice_that_failed_is_never_picked() -> None:
    only_asked = [MEASURED[0], Candidate(HALF, None, None, failed="its process ended")]
    assert pick(only_asked, ASKED, 10).choice == ASKED


@pytest.mark.slow
def test_where_nothing_runs_that_is_said_and_nothing_is_kept() -> None:
    folder = Path("plugins/position")
    folder.mkdir(parents=True)
    (folder / "broken.py").write_text(
        "from dataclasses import dataclass\n"
        "from vitladder.extend.position import PositionEncoding\n"
        "@dataclass(frozen=True)\n"
        "class Broken(PositionEncoding):\n"
        "    def embed(self, tokens, grid, **parameters):\n"
        "        raise RuntimeError('it broke')\n"
    )
    shape = DataShape(train_images=10, val_images=10, image_size=8, channels=1, classes=10)
    # No other kernel stands in for a window, and one image has no half: two precisions are left.
    settings = ["model=micro-8", "attention=window", "position=broken", "threads=1"]
    settings += ["data.batch_size=1", "keep_memory=true"]
    config = resolve(compose_config(settings), shape)
    device = torch.device("cpu")
    with pytest.raises(UserError, match=r"no way of .*fp32.*: it broke; .*bf16.*: it broke$"):
        tune(config, 100, Path(), device)
    assert not Path(FILE).exists()
    assert not measures_file(config, asked(config, threads=1), device).exists()
