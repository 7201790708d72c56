"""The image benchmark measures both loaders on the same images and says what it measured."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from sample_data import data_config, sample_parquet

from vitladder.bench.images import ImageBenchmark, compare, format_benchmark
from vitladder.errors import UserError


def test_both_loaders_are_measured_in_turn(tmp_path: Path) -> None:
    path = sample_parquet(tmp_path / "set", train=40, val=6)
    threads = torch.get_num_threads()
    config = data_config("parquet", path, batch_size=8)
    config.augment = replace(config.augment, crop=2)
    result = compare(config, tmp_path / "cache", images=32, rounds=2, workers=1)
    assert torch.get_num_threads() == threads
    assert (result.images, result.image_size, result.channels) == (32, 8, 3)
    for speeds in (result.vitladder, result.image_folder, result.image_folder_workers):
        assert len(speeds) == 2
        assert min(speeds) > 0


def test_grey_images_are_read_grey(tmp_path: Path) -> None:
    result = compare(data_config("digits"), tmp_path, images=40, rounds=1, workers=1)
    assert result.channels == 1


def test_the_ratio_is_taken_round_by_round() -> None:
    result = ImageBenchmark("X", 10, 8, 3, 4, (100.0, 300.0), (10.0, 20.0), (20.0, 10.0), 2)
    assert result.ratios == (10.0, 15.0)
    assert result.ratios_workers == (5.0, 30.0)
    table = format_benchmark(result)
    assert "12.5x (10.0 to 15.0)" in table
    assert "17.5x (5.0 to 30.0)" in table
    assert "num_workers=2" in table


def test_images_that_are_not_cached_are_refused(tmp_path: Path) -> None:
    config = data_config("parquet", sample_parquet(tmp_path / "set"), cache_gib=1e-9)
    with pytest.raises(
        UserError, match=r"reads decoded images from its cache; raise data\.cache_gib"
    ):
        compare(config, tmp_path / "cache")


def test_what_is_not_compared_is_refused(tmp_path: Path) -> None:
    config = data_config("digits")
    config.augment = replace(config.augment, mixup=0.2)
    with pytest.raises(UserError, match="only crop and flip are compared"):
        compare(config, tmp_path)
