"""`vitladder data SOURCE` says what is in a data set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sample_data import data_config, image_bytes, sample_folder, sample_images, sample_parquet
from sample_data import write_parquet as write

from vitladder.data.cache import prepare
from vitladder.data.inspection import format_inspection, guess, inspect
from vitladder.errors import UserError


def test_a_source_is_what_lies_there(tmp_path: Path) -> None:
    sample_parquet(tmp_path / "parquet")
    sample_folder(tmp_path / "folder", {"": 4}, ["a", "b"])
    assert guess("digits") == "digits"
    assert guess(str(tmp_path / "parquet")) == "parquet"
    assert guess(str(tmp_path / "parquet" / "train.parquet")) == "parquet"
    assert guess(str(tmp_path / "folder")) == "imagefolder"
    with pytest.raises(UserError, match=r"^no such file or folder: digit; SOURCE is digits, "):
        guess("digit")


def test_an_inspection_counts_splits_classes_sizes_and_modes(tmp_path: Path) -> None:
    images = sample_images(9)
    images.append(image_bytes(np.zeros((4, 12), dtype=np.uint8)))
    write(tmp_path / "set" / "train.parquet", images, ["cat", "dog"] * 5)
    write(tmp_path / "set" / "test.parquet", images[:4], ["cat", "dog"] * 2)
    config = data_config("parquet", tmp_path / "set")
    found = inspect(config, tmp_path / "cache")
    assert found.splits == {"train": 10, "test": 4}
    assert found.classes == {"cat": (5, 2), "dog": (5, 2)}
    assert found.sizes == {(8, 8): 13, (12, 4): 1}
    assert found.modes == {"RGB": 13, "L": 1}
    text = format_inspection(found)
    assert "splits    train 10, test 4" in text
    assert "width 8 to 12, height 4 to 8, most often 8 x 8 (13) (all images)" in text
    assert "held out: the split 'test'" in text
    assert "not yet built" in text


def test_an_inspection_finds_the_cache_that_training_wrote(tmp_path: Path) -> None:
    config = data_config("digits")
    assert inspect(config, tmp_path).cache_bytes is None
    prepare(config, image_size=8, channels=1, folder=tmp_path)
    found = inspect(config, tmp_path)
    assert found.cache is not None
    assert list(tmp_path.iterdir()) == [found.cache]
    assert found.cache_bytes is not None
    assert found.cache_bytes > found.decoded_bytes == 1797 * 64
    assert "no held-out split: 20 % of each class" in format_inspection(found)


def test_large_sets_are_sampled_and_many_classes_cut_short(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vitladder.data.inspection._ALL", 50)
    monkeypatch.setattr("vitladder.data.inspection._SAMPLE", 30)
    path = sample_parquet(tmp_path / "set", train=90, val=30, classes=25)
    found = inspect(data_config("parquet", path, cache_gib=1e-9), tmp_path)
    assert found.looked_at == 30
    text = format_inspection(found)
    assert "(a sample of 30 images)" in text
    assert "... and 5 more" in text
    assert "exceed data.cache_gib" in text


def test_cifar10_is_inspected(cifar10: Path, tmp_path: Path) -> None:
    found = inspect(data_config("parquet", cifar10), tmp_path)
    assert found.splits == {"train": 50_000, "test": 10_000}
    assert found.classes["frog"] == (5_000, 1_000)
    assert found.sizes.keys() == {(32, 32)}
