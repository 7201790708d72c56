"""Images are the same whether they are cached, decoded when asked for, or streamed."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from sample_data import (
    CARD,
    HOW,
    NO_CACHE,
    data_config,
    image_bytes,
    prepared,
    random_pixels,
    sample_folder,
    sample_image,
    sample_parquet,
    source,
)
from sample_data import write_parquet as write

from vitladder.config import DataShape
from vitladder.data.describe import describe
from vitladder.data.images import Images, StreamedImages, UncachedImages, channel_statistics
from vitladder.errors import UserError


@pytest.mark.parametrize("name", ["parquet", "imagefolder"])
def test_the_statistics_do_not_depend_on_how_images_are_stored(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vitladder.data.cache._SAMPLE", 7)
    if name == "parquet":
        path = sample_parquet(tmp_path / "set", train=15, val=4)
    else:
        path = sample_folder(tmp_path / "set", {"train": 15, "val": 4}, ["a", "b"])
    cached = prepared(name, path, tmp_path / "cache")
    values = cached.train.gather(np.arange(7) * 15 // 7) / 255
    assert np.allclose(cached.mean, values.mean(axis=(0, 2, 3)), atol=1e-7)
    for changes in ({"cache_gib": NO_CACHE}, {"streaming": True}):
        other = prepared(name, path, tmp_path / "cache", **changes)
        assert other.mean.tolist() == cached.mean.tolist()
        assert other.std.tolist() == cached.std.tolist()


def test_pixels_that_are_all_equal_can_be_normalised() -> None:
    mean, std = channel_statistics([np.full((2, 1, 3, 3), 51, dtype=np.uint8)])
    assert mean.tolist() == pytest.approx([0.2])
    assert std.tolist() == [1.0]


def test_mean_and_deviation_are_those_of_the_training_pixels(tmp_path: Path) -> None:
    data = prepared("parquet", sample_parquet(tmp_path / "set"), tmp_path / "cache")
    values = data.train.gather(np.arange(27)) / 255
    assert np.allclose(data.mean, values.mean(axis=(0, 2, 3)), atol=1e-7)
    assert np.allclose(data.std, values.std(axis=(0, 2, 3)), atol=1e-7)


def test_a_replaced_file_of_the_same_time_is_copied_anew(tmp_path: Path) -> None:
    path = sample_parquet(tmp_path / "set", train=20, val=5)
    file = path / "train.parquet"
    pixels = []
    for shift in (0, 50):
        images = [image_bytes(random_pixels(i + shift), "BMP") for i in range(20)]
        write(file, images, [i % 3 for i in range(20)])
        os.utime(file, (1, 1))
        data = prepared("parquet", path, tmp_path / "cache", cache_gib=NO_CACHE)
        pixels.append(data.train.gather(np.arange(20)))
    assert np.array_equal(pixels[1][3], random_pixels(53).transpose(2, 0, 1))


def test_parquet_and_folders_of_the_same_images_train_alike(tmp_path: Path) -> None:
    names = ["0", "1"]
    sample_folder(tmp_path / "folder", {"train": 8, "val": 4}, names)
    for split, count in (("train", 8), ("val", 4)):
        order = sorted(range(count), key=lambda i: (i % 2, i))
        images = [sample_image(i) for i in order]
        write(tmp_path / "parquet" / f"{split}.parquet", images, [i % 2 for i in order])
    folder = prepared("imagefolder", tmp_path / "folder", tmp_path / "cache")
    parquet = prepared("parquet", tmp_path / "parquet", tmp_path / "cache")
    hub = prepared("hub", tmp_path / "parquet", tmp_path, cache=str(tmp_path / "hub"))
    for other in (parquet, hub):
        for mine, theirs in ((folder.train, other.train), (folder.val, other.val)):
            everything = np.arange(len(mine))
            assert np.array_equal(mine.gather(everything), theirs.gather(everything))
            assert np.array_equal(mine.labels, theirs.labels)


@pytest.mark.parametrize("name", ["parquet", "imagefolder", "hub", "digits"])
def test_images_too_large_for_the_cache_are_decoded_when_asked_for(
    name: str, tmp_path: Path
) -> None:
    path = None
    if name == "imagefolder":
        path = sample_folder(tmp_path / "set", {"train": 20, "val": 5}, ["a", "b"])
    elif name != "digits":
        path = sample_parquet(tmp_path / "set", train=20, val=5)
    cached = prepared(name, path, tmp_path, cache=str(tmp_path / "cache"))
    live = prepared(name, path, tmp_path, cache=str(tmp_path / "cache"), cache_gib=NO_CACHE)
    assert isinstance(live.train, UncachedImages)
    indices = np.array([7, 3, 3, 19, 0])
    assert np.array_equal(live.train.gather(indices), cached.train.gather(indices))
    assert np.array_equal(live.train.take(indices)[1], cached.train.take(indices)[1])
    assert np.allclose(live.mean, cached.mean)
    assert any("not cached" in note for note in live.notes)


@pytest.mark.parametrize("name", ["parquet", "imagefolder"])
def test_streams_hold_the_same_images_as_the_cache(name: str, tmp_path: Path) -> None:
    if name == "parquet":
        path = sample_parquet(tmp_path / "set", train=20, val=5)
    else:
        path = sample_folder(tmp_path / "set", {"train": 20, "val": 5}, ["a", "b"])
    cached = prepared(name, path, tmp_path / "cache")
    streamed = prepared(name, path, tmp_path / "cache", streaming=True)
    assert isinstance(streamed.train, StreamedImages)
    assert (len(streamed.train), len(streamed.val)) == (20, 5)
    chunks = list(streamed.train.once(7))
    assert [len(labels) for _, labels in chunks] == [7, 7, 6]
    pixels = np.concatenate([pixels for pixels, _ in chunks])
    labels = np.concatenate([labels for _, labels in chunks])
    assert isinstance(cached.train, Images)
    if name == "parquet":
        assert np.array_equal(pixels, cached.train.pixels)
        assert np.array_equal(labels, cached.train.labels)
    pairs = {(bytes(x), int(y)) for x, y in zip(pixels, labels, strict=True)}
    stored = zip(cached.train.pixels, cached.train.labels, strict=True)
    assert pairs == {(bytes(x), int(y)) for x, y in stored}


def test_a_hub_that_tells_counts_and_classes_is_streamed(tmp_path: Path) -> None:
    path = sample_parquet(tmp_path / "set", train=8, val=4)
    (path / "README.md").write_text(CARD)
    cache = str(tmp_path / "cache")
    config = data_config("hub", path, cache=cache, streaming=True)
    assert describe(config) == DataShape(8, 4, image_size=8, channels=3, classes=3)
    data = prepared("hub", path, tmp_path, cache=cache, streaming=True)
    assert isinstance(data.train, StreamedImages)
    assert data.classes == ("ant", "bee", "cow")
    pixels, labels = next(data.train.forever(13, 12))
    order = [(13 + i) % 8 for i in range(12)]
    expected = np.stack([random_pixels(i).transpose(2, 0, 1) for i in order])
    assert np.array_equal(pixels, expected)
    assert labels.tolist() == [i % 3 for i in order]


def test_a_hub_that_tells_no_counts_cannot_be_streamed(tmp_path: Path) -> None:
    path = sample_parquet(tmp_path / "set", train=20, val=5)
    with pytest.raises(UserError, match=r"leave data\.streaming=false"):
        prepared("hub", path, tmp_path, cache=str(tmp_path / "cache"), streaming=True)


def test_notes_say_where_images_differ(tmp_path: Path) -> None:
    images = [image_bytes(random_pixels(i, 8 + i % 2)) for i in range(20)]
    write(tmp_path / "set" / "train.parquet", images, [0, 1] * 10)
    write(tmp_path / "set" / "test.parquet", images, [0, 1] * 10)
    for how in HOW.values():
        notes = prepared("parquet", tmp_path / "set", tmp_path / "cache", **how).notes
        assert any("several sizes (8 x 8 to 9 x 9)" in note for note in notes)


def test_cifar10_has_its_known_statistics(cifar10: Path, tmp_path: Path) -> None:
    # As a stream, of which only the sample is decoded: a tenth of the time of a cache.
    data = prepared("parquet", cifar10, tmp_path, image_size=32, streaming=True)
    assert (len(data.train), len(data.val)) == (50_000, 10_000)
    labels = source(data_config("parquet", cifar10)).train.labels
    assert np.bincount(labels).tolist() == [5_000] * 10
    # The usual constants of the whole training set; the JPEG copy and the sample move them a bit.
    assert data.mean.tolist() == pytest.approx([0.4914, 0.4822, 0.4465], abs=0.003)
    assert data.std.tolist() == pytest.approx([0.2470, 0.2435, 0.2616], abs=0.003)
