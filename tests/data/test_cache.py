"""Decoded pixels are cached by content, whole or not at all, and read back as they were stored."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from sample_data import (
    damage_column,
    data_config,
    image_bytes,
    path_only_parquet,
    random_pixels,
    sample_folder,
    sample_parquet,
)
from sample_data import write_parquet as write

from vitladder.config import DataShape
from vitladder.data.cache import Prepared, prepare
from vitladder.data.describe import describe
from vitladder.data.fingerprint import data_fingerprint
from vitladder.data.images import Images, StreamedImages, UncachedImages, channel_statistics
from vitladder.errors import UserError

NO_CACHE = 1e-9


def prepared(name: str, path: Path | None, folder: Path, **changes: Any) -> Prepared:
    size = changes.pop("image_size", 8)
    channels = changes.pop("channels", 3)
    config = data_config(name, path, **changes)
    return prepare(config, image_size=size, channels=channels, folder=folder)


def caches(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir()) if folder.exists() else []


def test_parquet_is_decoded_into_memory_maps(tmp_path: Path) -> None:
    path = sample_parquet(tmp_path / "set", train=30, val=6)
    data = prepared("parquet", path, tmp_path / "cache")
    assert isinstance(data.train, Images)
    assert isinstance(data.val, Images)
    assert isinstance(data.train.pixels, np.memmap)
    assert data.train.pixels.dtype == np.uint8
    assert data.train.pixels.shape == (30, 3, 8, 8)
    assert (data.image_size, data.channels) == (8, 3)
    for i in (0, 17, 29):
        assert np.array_equal(data.train.pixels[i], random_pixels(i).transpose(2, 0, 1))
    for i in range(6):
        assert np.array_equal(data.val.pixels[i], random_pixels(30 + i).transpose(2, 0, 1))
    assert data.train.labels.dtype == np.int64
    assert data.train.labels.tolist() == [i % 3 for i in range(30)]
    assert data.classes == ("0", "1", "2")
    assert data.notes == ("held out: the split 'test'",)


def test_digits_keep_their_values(tmp_path: Path) -> None:
    from sklearn.datasets import load_digits

    digits = load_digits()
    data = prepared("digits", None, tmp_path, channels=1)
    assert isinstance(data.train, Images)
    assert isinstance(data.val, Images)
    together = np.concatenate([data.train.pixels, data.val.pixels])
    expected = np.rint(digits.images * 255 / 16)[:, None]
    assert sorted(map(bytes, together)) == sorted(map(bytes, expected.astype(np.uint8)))
    assert np.bincount(data.val.labels).tolist() == [36, 36, 35, 37, 36, 36, 36, 36, 35, 36]
    assert data.notes == ("no held-out split: 20 % of each class of train held out (seed 0)",)


def test_images_held_out_are_none_of_those_that_train(tmp_path: Path) -> None:
    data = prepared("parquet", sample_parquet(tmp_path / "set"), tmp_path / "cache")
    assert isinstance(data.train, Images)
    assert isinstance(data.val, Images)
    assert (len(data.train), len(data.val)) == (27, 3)
    assert not {bytes(x) for x in data.train.pixels} & {bytes(x) for x in data.val.pixels}
    assert sorted(data.val.labels.tolist()) == [0, 1, 2]


def test_the_second_call_reads_the_cache_and_not_the_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = sample_parquet(tmp_path / "set")
    first = prepared("parquet", path, tmp_path / "cache")

    def fail(*args: object, **options: object) -> None:
        raise AssertionError("decoded again")

    monkeypatch.setattr("vitladder.data.images.decode", fail)
    second = prepared("parquet", path, tmp_path / "cache")
    assert isinstance(second.train, Images)
    assert np.array_equal(second.train.gather(np.arange(27)), first.train.gather(np.arange(27)))
    assert second.fingerprint == first.fingerprint
    assert (second.mean.tolist(), second.std.tolist()) == (first.mean.tolist(), first.std.tolist())
    assert second.notes == first.notes


def test_each_content_size_and_channels_has_its_own_cache(tmp_path: Path) -> None:
    path = sample_parquet(tmp_path / "set")
    for changes in ({}, {"image_size": 6}, {"channels": 1}, {"val_fraction": 0.3}, {}):
        prepared("parquet", path, tmp_path / "cache", **changes)
    sample_parquet(path, train=31)
    prepared("parquet", path, tmp_path / "cache")
    assert len(caches(tmp_path / "cache")) == 5


def test_the_cache_lies_where_the_config_says(tmp_path: Path) -> None:
    path = sample_parquet(tmp_path / "set")
    prepared("parquet", path, tmp_path / "unused", cache=str(tmp_path / "mine"))
    assert not (tmp_path / "unused").exists()
    assert len(caches(tmp_path / "mine")) == 1


def test_mean_and_deviation_are_those_of_the_training_pixels(tmp_path: Path) -> None:
    data = prepared("parquet", sample_parquet(tmp_path / "set"), tmp_path / "cache")
    values = data.train.gather(np.arange(27)) / 255
    assert np.allclose(data.mean, values.mean(axis=(0, 2, 3)), atol=1e-7)
    assert np.allclose(data.std, values.std(axis=(0, 2, 3)), atol=1e-7)


@pytest.mark.parametrize("name", ["parquet", "imagefolder"])
def test_the_statistics_do_not_depend_on_how_images_are_stored(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vitladder.data.cache._SAMPLE", 7)
    if name == "parquet":
        path = sample_parquet(tmp_path / "set", train=40, val=6)
    else:
        path = sample_folder(tmp_path / "set", {"train": 40, "val": 6}, ["a", "b"])
    cached = prepared(name, path, tmp_path / "cache")
    values = cached.train.gather(np.arange(7) * 40 // 7) / 255
    assert np.allclose(cached.mean, values.mean(axis=(0, 2, 3)), atol=1e-7)
    for changes in ({"cache_gib": NO_CACHE}, {"streaming": True}):
        other = prepared(name, path, tmp_path / "cache", **changes)
        assert other.mean.tolist() == cached.mean.tolist()
        assert other.std.tolist() == cached.std.tolist()


def test_pixels_that_are_all_equal_can_be_normalised() -> None:
    mean, std = channel_statistics([np.full((2, 1, 3, 3), 51, dtype=np.uint8)])
    assert mean.tolist() == pytest.approx([0.2])
    assert std.tolist() == [1.0]


@pytest.mark.parametrize("damaged", [b"no image", image_bytes(random_pixels(0))[:60]])
@pytest.mark.parametrize("cache_gib", [8.0, NO_CACHE])
def test_a_corrupt_image_is_named_by_file_and_row(
    cache_gib: float, damaged: bytes, tmp_path: Path
) -> None:
    images = [image_bytes(random_pixels(i)) for i in range(20)]
    images[17] = damaged
    write(tmp_path / "set" / "train.parquet", images, [i % 2 for i in range(20)])
    message = r"^train\.parquet row 17: not a readable image \(.*\)$"
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


HOW = {"cached": {}, "uncached": {"cache_gib": NO_CACHE}, "streamed": {"streaming": True}}


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("kind", ["parquet", "hub"])
def test_images_stored_as_paths_are_refused(
    kind: str, how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "set").mkdir()
    path_only_parquet(tmp_path / "set" / "train.parquet", 20)
    path_only_parquet(tmp_path / "set" / "test.parquet", 5)
    (tmp_path / "set" / "README.md").write_text(CARD)
    monkeypatch.chdir(tmp_path / "set")
    cache = str(tmp_path / "cache")
    message = r"train.* row 0: holds the path 0\.png and no image"
    with pytest.raises(UserError, match=message) as one:
        prepared(kind, tmp_path / "set", tmp_path, cache=cache, **HOW[how])
    assert "\n" not in str(one.value)


def test_a_damaged_page_is_named_where_images_are_not_cached(tmp_path: Path) -> None:
    path = sample_parquet(tmp_path / "set", train=900, val=30)
    config = data_config("parquet", path, cache_gib=NO_CACHE)
    describe(config)
    groups = pq.read_metadata(path / "train.parquet").num_row_groups
    for group in range(1, groups):
        damage_column(path / "train.parquet", group, 0)
    with pytest.raises(UserError, match=r"train\.parquet.* not .*readable"):
        prepare(config, image_size=8, channels=3, folder=tmp_path / "cache")


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
        images = [image_bytes(random_pixels(i)) for i in order]
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
    assert np.array_equal(live.train.labels, cached.train.labels)
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


CARD = """---
dataset_info:
  features:
  - name: image
    dtype: image
  - name: label
    dtype:
      class_label:
        names: {'0': ant, '1': bee, '2': cow}
  splits:
  - {name: train, num_examples: 20, num_bytes: 1}
  - {name: test, num_examples: 5, num_bytes: 1}
---
"""


def test_a_hub_that_tells_counts_and_classes_is_streamed(tmp_path: Path) -> None:
    path = sample_parquet(tmp_path / "set", train=20, val=5)
    (path / "README.md").write_text(CARD)
    cache = str(tmp_path / "cache")
    config = data_config("hub", path, cache=cache, streaming=True)
    assert describe(config) == DataShape(20, 5, image_size=8, channels=3, classes=3)
    data = prepared("hub", path, tmp_path, cache=cache, streaming=True)
    assert isinstance(data.train, StreamedImages)
    assert data.classes == ("ant", "bee", "cow")
    pixels, labels = next(data.train.forever(33, 12))
    order = [(33 + i) % 20 for i in range(12)]
    expected = np.stack([random_pixels(i).transpose(2, 0, 1) for i in order])
    assert np.array_equal(pixels, expected)
    assert labels.tolist() == [i % 3 for i in order]


def test_a_hub_that_tells_no_counts_cannot_be_streamed(tmp_path: Path) -> None:
    path = sample_parquet(tmp_path / "set", train=20, val=5)
    with pytest.raises(UserError, match=r"leave data\.streaming=false"):
        prepared("hub", path, tmp_path, cache=str(tmp_path / "cache"), streaming=True)


@pytest.mark.parametrize(
    ("damaged", "text"),
    [("train.pixels.npy", ""), ("about.json", ""), ("about.json", "{}"), ("about.json", "[]")],
)
def test_a_damaged_cache_says_what_to_delete(damaged: str, text: str, tmp_path: Path) -> None:
    path = sample_parquet(tmp_path / "set")
    prepared("parquet", path, tmp_path / "cache")
    (place,) = (tmp_path / "cache").iterdir()
    (place / damaged).write_text(text)
    with pytest.raises(UserError, match=r"is damaged .*; delete that folder"):
        prepared("parquet", path, tmp_path / "cache")


def test_a_cache_that_would_fill_the_disk_is_not_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = shutil.disk_usage(tmp_path)._replace(free=100)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: free)
    with pytest.raises(UserError, match=r"decoded images need .* GiB and .* has .* GiB free"):
        prepared("parquet", sample_parquet(tmp_path / "set"), tmp_path / "cache")
    assert caches(tmp_path / "cache") == []


def test_a_cache_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write decoded images into"):
        prepared("parquet", sample_parquet(tmp_path / "set"), tmp_path / "file" / "cache")


BUILD = """
import sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from sample_data import data_config
from vitladder.data.cache import prepare
root = Path(sys.argv[2])
sys.stdin.readline()
config = data_config("parquet", root / "set")
data = prepare(config, image_size=8, channels=3, folder=root / "cache")
print(data.fingerprint, int(data.train.pixels.astype("int64").sum()), len(data.val), flush=True)
"""


def test_processes_that_build_the_same_cache_at_once_all_end_right(tmp_path: Path) -> None:
    path = sample_parquet(tmp_path / "set", train=900, val=90)
    command = [sys.executable, "-W", "error", "-c", BUILD, str(Path(__file__).parents[1]), tmp_path]
    running = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    for process in running:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    results = [process.communicate()[0] for process in running]
    assert [process.returncode for process in running] == [0, 0, 0]
    expected = prepared("parquet", path, tmp_path / "alone")
    assert isinstance(expected.train, Images)
    total = int(expected.train.pixels.astype(np.int64).sum())
    assert results == [f"{expected.fingerprint} {total} 90\n"] * 3
    (place,) = (tmp_path / "cache").iterdir()
    assert json.loads((place / "about.json").read_text())["fingerprint"] == expected.fingerprint


def test_a_killed_build_leaves_nothing_that_is_read(tmp_path: Path) -> None:
    path = sample_parquet(tmp_path / "set")
    expected = prepared("parquet", path, tmp_path / "alone")
    (place,) = (tmp_path / "alone").iterdir()
    unfinished = tmp_path / "cache" / f".{place.name}-killed"
    unfinished.mkdir(parents=True)
    (unfinished / "train.pixels.npy").write_bytes(b"half")
    again = prepared("parquet", path, tmp_path / "cache")
    assert isinstance(again.train, Images)
    assert isinstance(expected.train, Images)
    assert np.array_equal(again.train.pixels, expected.train.pixels)
    assert caches(tmp_path / "cache") == [place.name]


def test_a_cache_can_be_read_by_whom_the_umask_lets(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        prepared("parquet", sample_parquet(tmp_path / "set"), tmp_path / "cache")
    finally:
        os.umask(before)
    (place,) = (tmp_path / "cache").iterdir()
    assert stat.S_IMODE(place.stat().st_mode) == 0o755
    assert {stat.S_IMODE(file.stat().st_mode) for file in place.iterdir()} == {0o644}


# The fingerprint


@pytest.mark.parametrize("small", [True, False], ids=["small", "large"])
@pytest.mark.parametrize("name", ["parquet", "imagefolder", "digits"])
def test_the_fingerprint_does_not_depend_on_how_images_are_stored(
    name: str, small: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not small:
        monkeypatch.setattr("vitladder.data.sources.WHOLE", 0)
    path = None
    if name == "parquet":
        path = sample_parquet(tmp_path / "set", train=40, val=6)
    elif name == "imagefolder":
        path = sample_folder(tmp_path / "set", {"train": 40, "val": 6}, ["a", "b"])
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

    for folder, count in (("here", 30), ("there", 30), ("larger", 33)):
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
        sample_parquet(tmp_path / "here", train=31)
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
    images = [image_bytes(random_pixels(i)) for i in range(9)]
    for name, labels in (("a", [0, 1, 2] * 3), ("b", [0, 1, 2] * 3), ("c", [2, 1, 0] * 3)):
        write(tmp_path / name / "x.parquet", images, labels)
        config = data_config("hub", tmp_path / name, cache=str(tmp_path / "cache"))
        marks.add(data_fingerprint(config))
        assert prepare(config, image_size=8, channels=3, folder=tmp_path).fingerprint in marks
    assert len(marks) == 2


def test_large_files_are_cached_anew_when_they_are_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vitladder.data.sources.WHOLE", 0)
    monkeypatch.setattr("vitladder.data.rows.WHOLE", 0)
    path = sample_parquet(tmp_path / "set")
    first = prepared("parquet", path, tmp_path / "cache")
    os.utime(path / "train.parquet", (1, 1))
    again = prepared("parquet", path, tmp_path / "cache")
    assert again.fingerprint == first.fingerprint
    assert len(caches(tmp_path / "cache")) == 2


def test_notes_say_where_images_differ(tmp_path: Path) -> None:
    images = [image_bytes(random_pixels(i, 8 + i % 2)) for i in range(20)]
    write(tmp_path / "set" / "train.parquet", images, [0, 1] * 10)
    write(tmp_path / "set" / "test.parquet", images, [0, 1] * 10)
    for how in HOW.values():
        notes = prepared("parquet", tmp_path / "set", tmp_path / "cache", **how).notes
        assert any("several sizes (8 x 8 to 9 x 9)" in note for note in notes)


@pytest.mark.slow
def test_cifar10_has_its_known_statistics(cifar10: Path, tmp_path: Path) -> None:
    data = prepared("parquet", cifar10, tmp_path, image_size=32)
    assert (len(data.train), len(data.val)) == (50_000, 10_000)
    assert isinstance(data.train, Images)
    assert np.bincount(data.train.labels).tolist() == [5_000] * 10
    # The usual constants of the whole training set; the JPEG copy and the sample move them a bit.
    assert data.mean.tolist() == pytest.approx([0.4914, 0.4822, 0.4465], abs=0.003)
    assert data.std.tolist() == pytest.approx([0.2470, 0.2435, 0.2616], abs=0.003)
