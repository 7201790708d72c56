"""A data set says what it is before anything heavy is imported, or what is wrong with it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from sample_data import (
    data_config,
    image_bytes,
    random_pixels,
    sample_folder,
    sample_image,
    sample_parquet,
)
from sample_data import write_parquet as write

from vitladder.config import DataShape
from vitladder.data.catalog import read_catalog
from vitladder.data.describe import describe, differences
from vitladder.data.sources import read_source
from vitladder.errors import UserError


def test_digits_are_known_without_loading_them() -> None:
    config = data_config("digits")
    shape = describe(config)
    assert shape == DataShape(1438, 359, image_size=8, channels=1, classes=10)
    source = read_source(read_catalog(config), config)
    assert (len(source.train), len(source.val)) == (shape.train_images, shape.val_images)


@pytest.mark.parametrize("fraction", [0.01, 0.1, 0.33, 0.9])
def test_digits_are_counted_as_they_are_held_out(fraction: float) -> None:
    config = data_config("digits", val_fraction=fraction)
    source = read_source(read_catalog(config), config)
    shape = describe(config)
    assert (len(source.train), len(source.val)) == (shape.train_images, shape.val_images)


def test_cifar10_is_described(cifar10: Path) -> None:
    assert describe(data_config("parquet", cifar10)) == DataShape(50_000, 10_000, 32, 3, 10)


def test_parquet_is_described_by_its_images(tmp_path: Path) -> None:
    sample_parquet(tmp_path, train=30, val=6)
    assert describe(data_config("parquet", tmp_path)) == DataShape(30, 6, 8, 3, 3)


def test_one_colour_image_makes_the_set_colour(tmp_path: Path) -> None:
    images = [image_bytes(random_pixels(i)[..., 0]) for i in range(40)]
    images[21] = image_bytes(random_pixels(21))
    write(tmp_path / "x.parquet", images, [0, 1] * 20)
    config = data_config("parquet", tmp_path)
    assert describe(config).channels == 3
    assert differences(config) == ("images are of several modes (L 35, RGB 1 of 36 looked at)",)


def test_the_usual_shorter_side_is_the_size(tmp_path: Path) -> None:
    images = [image_bytes(random_pixels(i, 8 if i else 20)) for i in range(40)]
    write(tmp_path / "x.parquet", images, [0, 1] * 20)
    config = data_config("parquet", tmp_path)
    assert describe(config).image_size == 8
    (note,) = differences(config)
    assert note.startswith("images are of several sizes (8 x 8 to 20 x 20)")


def test_images_that_are_all_alike_need_no_note(tmp_path: Path) -> None:
    assert differences(data_config("parquet", sample_parquet(tmp_path))) == ()
    assert differences(data_config("digits")) == ()


def test_images_that_are_not_square_give_their_shorter_side(tmp_path: Path) -> None:
    grey = image_bytes(np.zeros((12, 20), dtype=np.uint8))
    write(tmp_path / "x.parquet", [grey] * 4, [0, 1, 0, 1])
    shape = describe(data_config("parquet", tmp_path))
    assert (shape.image_size, shape.channels) == (12, 1)


def test_an_image_folder_is_described(tmp_path: Path) -> None:
    sample_folder(tmp_path, {"train": 6, "val": 4}, ["cat", "dog"])
    assert describe(data_config("imagefolder", tmp_path)) == DataShape(6, 4, 8, 3, 2)


def test_a_described_set_is_remembered(tmp_path: Path) -> None:
    config = data_config("parquet", sample_parquet(tmp_path))
    assert describe(data_config("parquet", tmp_path, batch_size=7)) is describe(config)


@pytest.mark.parametrize("name", ["parquet", "imagefolder"])
def test_a_set_that_changes_is_described_anew(name: str, tmp_path: Path) -> None:
    for count in (6, 8):
        if name == "parquet":
            sample_parquet(tmp_path, train=count)
        else:
            sample_folder(tmp_path, {"": count}, ["cat", "dog"])
        shape = describe(data_config(name, tmp_path))
        assert shape.train_images + shape.val_images == count


@pytest.mark.parametrize("name", ["parquet", "imagefolder"])
def test_an_absent_path_is_named(name: str) -> None:
    with pytest.raises(
        UserError, match=r"^no such file or folder: nowhere/x; data.path must name a .*folder"
    ):
        describe(data_config(name, "nowhere/x"))


def test_a_folder_without_parquet_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no parquet files"):
        describe(data_config("parquet", tmp_path))


def test_a_file_that_is_no_parquet_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_text("hello")
    with pytest.raises(UserError, match=r"^x.parquet is not a readable parquet file \(.*\); write"):
        describe(data_config("parquet", tmp_path))


def test_a_corrupt_first_image_is_named(tmp_path: Path) -> None:
    write(tmp_path / "x.parquet", [b"no image"] * 4, [0, 1, 0, 1])
    with pytest.raises(UserError, match=r"^x.parquet row 0: not a readable image"):
        describe(data_config("parquet", tmp_path / "x.parquet"))


def test_digits_refuse_what_they_do_not_have() -> None:
    with pytest.raises(UserError, match="no split in digits called 'test'"):
        describe(data_config("digits", val_split="test"))
    with pytest.raises(UserError, match=r"leave data.streaming=false"):
        describe(data_config("digits", streaming=True))


def test_columns_of_every_file_are_checked(tmp_path: Path) -> None:
    raw = [sample_image(0)] * 2
    write(tmp_path / "train.parquet", raw, [0, 1])
    write(tmp_path / "test.parquet", raw, pa.array([0, 1]), columns=("image", "other"))
    with pytest.raises(UserError, match=r"test.parquet has no column 'label'"):
        describe(data_config("parquet", tmp_path))


def test_describing_and_preparing_import_no_torch(tmp_path: Path) -> None:
    sample_parquet(tmp_path / "parquet", val=6)
    sample_folder(tmp_path / "folder", {"": 8}, ["cat", "dog"])
    program = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from pathlib import Path
from sample_data import data_config
from vitladder.data.describe import describe
from vitladder.data.cache import data_fingerprint, prepare
from vitladder.data.augment import check
root = Path({str(tmp_path)!r})
places = {{"digits": None, "parquet": root / "parquet", "imagefolder": root / "folder"}}
for name, path in places.items():
    config = data_config(name, path)
    shape = describe(config)
    check(config.augment, shape.image_size)
    data_fingerprint(config)
    prepare(config, image_size=shape.image_size, channels=shape.channels, folder=root / "cache")
assert "torch" not in sys.modules, "torch was imported"
"""
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True)
