"""The fingerprint of a data set follows its content, wherever and however it is stored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sample_data import (
    HOW,
    NO_CACHE,
    data_config,
    image_bytes,
    prepared,
    random_pixels,
    sample_folder,
    sample_images,
    sample_parquet,
)
from sample_data import write_parquet as write

from vitladder.data.cache import prepare
from vitladder.data.fingerprint import data_fingerprint


@pytest.mark.parametrize("small", [True, False], ids=["small", "large"])
@pytest.mark.parametrize("name", ["parquet", "imagefolder", "digits"])
def test_the_fingerprint_does_not_depend_on_how_images_are_stored(
    name: str, small: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not small:
        monkeypatch.setattr("vitladder.data.sources.WHOLE", 0)
    path = None
    if name == "parquet":
        path = sample_parquet(tmp_path / "set", train=12, val=4)
    elif name == "imagefolder":
        path = sample_folder(tmp_path / "set", {"train": 12, "val": 4}, ["a", "b"])
    mark = data_fingerprint(data_config(name, path))
    for how in HOW.values():
        if name != "digits" or how != HOW["streamed"]:
            assert prepared(name, path, tmp_path / "cache", **how).fingerprint == mark
            assert data_fingerprint(data_config(name, path, **how)) == mark


@pytest.mark.parametrize("small", [True, False], ids=["small", "large"])
@pytest.mark.parametrize("name", ["parquet", "imagefolder"])
def test_the_fingerprint_follows_the_files_and_not_their_place(
    name: str, small: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not small:
        monkeypatch.setattr("vitladder.data.sources.WHOLE", 0)

    def mark(folder: str, **changes: Any) -> str:
        return data_fingerprint(data_config(name, tmp_path / folder, **changes))

    for folder, count in (("here", 8), ("there", 8), ("larger", 9)):
        if name == "parquet":
            sample_parquet(tmp_path / folder, train=count)
        else:
            sample_folder(tmp_path / folder, {"": count}, ["a", "b"])
    first = mark("here")
    assert first == mark("there")
    assert first == mark("here", batch_size=3, cache_gib=NO_CACHE)
    assert first != mark("larger")
    assert first != mark("here", val_fraction=0.3)
    if name == "parquet":
        sample_parquet(tmp_path / "here", train=10)
    else:
        file = tmp_path / "here" / "a" / "000.png"
        file.write_bytes(image_bytes(random_pixels(99, 9)))
    assert mark("here") != first


def test_an_image_of_the_same_name_and_size_changes_the_fingerprint(tmp_path: Path) -> None:
    path = sample_folder(tmp_path / "set", {"": 8}, ["a", "b"])
    marks = set()
    for number in (70, 71):
        (path / "a" / "000.png").write_bytes(image_bytes(random_pixels(number), "BMP"))
        marks.add(data_fingerprint(data_config("imagefolder", path)))
    assert len(marks) == 2


def test_the_fingerprint_of_a_hub_follows_labels_too(tmp_path: Path) -> None:
    marks = set()
    images = sample_images(9)
    for name, labels in (("a", [0, 1, 2] * 3), ("b", [0, 1, 2] * 3), ("c", [2, 1, 0] * 3)):
        write(tmp_path / name / "x.parquet", images, labels)
        config = data_config("hub", tmp_path / name, cache=str(tmp_path / "cache"))
        marks.add(data_fingerprint(config))
        assert prepare(config, image_size=8, channels=3, folder=tmp_path).fingerprint in marks
    assert len(marks) == 2
