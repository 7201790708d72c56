"""Measures of a machine and a shape: kept, found again, and never those of another shape."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from vitladder.compose import compose_config
from vitladder.compute.plan import resolve
from vitladder.config import Config, DataShape
from vitladder.train.candidates import Choice
from vitladder.train.measures import Candidate, keep_measures, measures_file, read_measures

CPU = torch.device("cpu")
OWN = Choice("sdpa", "fp32", False, None, 1)
MEASURED = [
    Candidate(OWN, images_per_s=50.0, startup_seconds=0.1),
    Candidate(replace(OWN, precision="bf16"), None, None, failed="RuntimeError: no"),
]
DATA = DataShape(train_images=100, val_images=10, image_size=8, channels=1, classes=10)


def config(*overrides: str) -> Config:
    return resolve(compose_config(["model=micro-8", *overrides]), DATA)


def file(*overrides: str, own: Choice = OWN) -> Path:
    return measures_file(config(*overrides), own, CPU)


def test_what_is_kept_is_read_again() -> None:
    assert read_measures(file()) == []
    keep_measures(file(), config(), MEASURED, CPU)
    assert read_measures(file()) == MEASURED


@pytest.mark.parametrize("override", ["seed=1", "study=other", "optim.lr=1", "compute.steps=9"])
def test_what_changes_no_speed_shares_measures(override: str) -> None:
    assert file(override) == file()


@pytest.mark.parametrize(
    "override", ["model.width=16", "data.batch_size=8", "position=learned", "parallel.remat=block"]
)
def test_another_shape_is_measured_anew(override: str) -> None:
    assert file(override) != file()


def test_what_is_asked_for_is_part_of_the_shape() -> None:
    assert file(own=replace(OWN, threads=2)) != file()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"candidates": [{"choice": 3}]}'])
def test_a_damaged_file_is_no_measure(text: str) -> None:
    file().write_text(text)
    assert read_measures(file()) == []
