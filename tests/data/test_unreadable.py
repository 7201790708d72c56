"""An image that cannot be read is named by its file and row."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from sample_data import (
    CARD,
    HOW,
    NO_CACHE,
    caches,
    damage_column,
    data_config,
    path_only_parquet,
    prepared,
    sample_folder,
    sample_image,
    sample_images,
    sample_parquet,
)
from sample_data import write_parquet as write

from vitladder.data.cache import prepare
from vitladder.data.describe import describe
from vitladder.errors import UserError


@pytest.mark.parametrize("damaged", [b"no image", sample_image(0)[:60]])
@pytest.mark.parametrize("cache_gib", [8.0, NO_CACHE])
def test_a_corrupt_image_is_named_by_file_and_row(
    cache_gib: float, damaged: bytes, tmp_path: Path
) -> None:
    images = sample_images(20)
    images[17] = damaged
    write(tmp_path / "set" / "train.parquet", images, [i % 2 for i in range(20)])
    message = r"^train\.parquet row 17: not a readable image \(.*\); mend or remove it, or .*skip$"
    with pytest.raises(UserError, match=message):
        prepared("parquet", tmp_path / "set", tmp_path / "cache", cache_gib=cache_gib)
    if cache_gib != NO_CACHE:
        assert caches(tmp_path / "cache") == []


def test_a_corrupt_file_of_an_image_folder_is_named(tmp_path: Path) -> None:
    sample_folder(tmp_path / "set", {"train": 4, "val": 4}, ["cat", "dog"])
    file = tmp_path / "set" / "val" / "dog" / "003.png"
    file.write_bytes(file.read_bytes()[:60])
    with pytest.raises(UserError, match=r"^val/dog/003\.png: not a readable image \("):
        prepared("imagefolder", tmp_path / "set", tmp_path / "cache")


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("kind", ["parquet", "hub"])
def test_images_stored_as_paths_are_refused(
    kind: str, how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "set").mkdir()
    path_only_parquet(tmp_path / "set" / "train.parquet", 8)
    path_only_parquet(tmp_path / "set" / "test.parquet", 4)
    (tmp_path / "set" / "README.md").write_text(CARD)
    monkeypatch.chdir(tmp_path / "set")
    cache = str(tmp_path / "cache")
    message = r"train.* row 0: holds the path 0\.png and no image"
    with pytest.raises(UserError, match=message) as one:
        prepared(kind, tmp_path / "set", tmp_path, cache=cache, **HOW[how])
    assert "\n" not in str(one.value)


def test_a_damaged_page_is_named_where_images_are_not_cached(tmp_path: Path) -> None:
    path = sample_parquet(tmp_path / "set", train=300, val=30)
    config = data_config("parquet", path, cache_gib=NO_CACHE)
    describe(config)
    groups = pq.read_metadata(path / "train.parquet").num_row_groups
    for group in range(1, groups):
        damage_column(path / "train.parquet", group, 0)
    with pytest.raises(UserError, match=r"^train\.parquet row 7: lies in a damaged row group"):
        prepare(config, image_size=8, channels=3, folder=tmp_path / "cache")
