"""Decoded pixels are cached whole or not at all, and read back as they were stored."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sample_data import caches, prepared, random_pixels, sample_parquet

from vitladder.data.images import Images
from vitladder.errors import UserError


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

    monkeypatch.setattr("vitladder.data.decoder.decode", fail)
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
    path = sample_parquet(tmp_path / "set", train=200, val=20)
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
    assert results == [f"{expected.fingerprint} {total} 20\n"] * 3
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
