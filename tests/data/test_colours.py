"""Colours are never lost by accident: a set that has some is RGB unless grey was asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sample_data import HOW, data_config, image_bytes, prepared, random_pixels, sample_images
from sample_data import write_parquet as write

from vitladder.data.describe import describe, differences
from vitladder.data.inspection import inspect
from vitladder.errors import UserError

LATE = 7
"""The number of the one image with colours, which is none of those that are looked at."""


@pytest.fixture(autouse=True)
def _few_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vitladder.data.describe._LOOKED_AT", 3)


def grey_set(folder: Path, *, train: np.ndarray | None = None, kind: str = "PNG") -> Path:
    """Write two splits of grey images; the late one of the training split is `train` if given."""
    grey = [image_bytes(random_pixels(i)[..., 0], kind) for i in range(12)]
    write(folder / "test.parquet", grey, [0, 1] * 6)
    if train is not None:
        grey[LATE] = image_bytes(train, kind)
    write(folder / "train.parquet", grey, [0, 1] * 6)
    return folder


def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let files of any size count as too large to be read whole."""
    monkeypatch.setattr("vitladder.data.sources.WHOLE", 0)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_one_late_image_with_colours_makes_the_set_colour(kind: str, tmp_path: Path) -> None:
    config = data_config("parquet", grey_set(tmp_path, train=random_pixels(LATE), kind=kind))
    assert describe(config).channels == 3
    assert differences(config) == ("images are of several modes (L 3, RGB 1 of 4 looked at)",)


def test_colours_that_only_the_held_out_split_has_count_too(tmp_path: Path) -> None:
    grey_set(tmp_path)
    write(tmp_path / "test.parquet", sample_images(4), [0, 1] * 2)
    assert describe(data_config("parquet", tmp_path)).channels == 3


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_grey_set_stays_grey_without_a_note(kind: str, tmp_path: Path) -> None:
    config = data_config("parquet", grey_set(tmp_path / "set", kind=kind))
    assert describe(config).channels == 1
    data = prepared("parquet", tmp_path / "set", tmp_path / "cache", channels=1)
    assert data.notes == ("held out: the split 'test'",)


def test_a_late_image_is_inspected_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vitladder.data.inspection._ALL", 5)
    monkeypatch.setattr("vitladder.data.inspection._SAMPLE", 6)
    path = grey_set(tmp_path / "set", train=random_pixels(LATE))
    found = inspect(data_config("parquet", path), tmp_path / "cache")
    assert found.modes == {"L": 6, "RGB": 1}


@pytest.mark.parametrize("how", HOW)
def test_grey_that_was_asked_for_is_noted(how: str, tmp_path: Path) -> None:
    path = grey_set(tmp_path / "set", train=random_pixels(LATE))
    data = prepared("parquet", path, tmp_path / "cache", channels=1, **HOW[how])
    assert "images with colours are made grey, as model.channels=1 asks" in data.notes


@pytest.mark.parametrize("how", HOW)
def test_colours_in_a_large_set_that_seemed_grey_are_named(
    how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    large(monkeypatch)
    path = grey_set(tmp_path / "set", train=random_pixels(LATE))
    assert describe(data_config("parquet", path)).channels == 1
    message = rf"^train\.parquet row {LATE} has colours, .* grey; set model\.channels=3, or store"
    with pytest.raises(UserError, match=message) as caught:
        prepared("parquet", path, tmp_path / "cache", channels=1, **HOW[how])
    assert "\n" not in str(caught.value)


def test_grey_values_that_are_stored_as_rgb_lose_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    large(monkeypatch)
    grey = random_pixels(LATE)[..., 0]
    path = grey_set(tmp_path / "set", train=np.dstack([grey] * 3))
    data = prepared("parquet", path, tmp_path / "cache", channels=1, **HOW["uncached"])
    assert np.array_equal(data.train.gather(np.array([LATE]))[0, 0], grey)
