"""A cache is whole or not there at all, and a disk that cannot hold it is one line."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import forked
import numpy as np
import pytest
from sample_data import HOW, caches, prepared, sample_parquet

from vitladder.data.building import build
from vitladder.data.images import Images
from vitladder.errors import UserError

TRAIN = ["train", "model=micro-8", "compute.steps=2", "logger=csv", "threads=1"]
TRAIN += ["data=parquet", "data.path=set", "data.cache=cache"]
UNCACHED = HOW["uncached"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 KiB."""
    folder = tmp_path / "cache"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    try:
        made = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        made = False
    if not made:
        pytest.skip("needs to mount a tmpfs, which root may and this user may not")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def assert_one_line(*settings: str, says: str, before: Any = None) -> None:
    """The command ends with code 2 and one line, and leaves nothing in the cache."""
    process = forked.start([*TRAIN, *settings], Path("said").absolute(), before=before)
    process.join(60)
    said = Path("said.err").read_text()
    assert process.exitcode == 2, said
    assert said.startswith("vitladder: ")
    assert said.count("\n") == 1
    assert says in said
    assert caches(Path("cache")) == []


@pytest.mark.parametrize("how", [[], ["data.cache_gib=1e-9"]], ids=["pixels", "copy"])
def test_a_disk_that_is_too_small_is_seen_before_it_is_filled(
    how: list[str], small_disk: Path
) -> None:
    sample_parquet(Path("set"), train=500, val=20)
    assert_one_line(*how, says="decoded images need")
    assert small_disk.is_mount()


def no_large_files() -> None:
    """Let this process write no file above 20 KB: as a disk that others fill meanwhile."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))


@pytest.mark.parametrize("how", [[], ["data.cache_gib=1e-9"]], ids=["pixels", "copy"])
def test_a_disk_that_fills_while_the_cache_is_written_is_one_line(how: list[str]) -> None:
    sample_parquet(Path("set"), train=500, val=20)
    assert_one_line(*how, says="cannot write decoded images into cache", before=no_large_files)
    assert not Path("cache").exists()


def test_a_disk_that_is_filled_by_another_meanwhile_is_one_line(small_disk: Path) -> None:
    path = sample_parquet(Path("set"), train=5, val=5)

    def write(folder: Path) -> None:
        (folder / "mine").write_bytes(bytes(60_000))
        (folder / "more").write_bytes(bytes(60_000))

    with pytest.raises(UserError, match=r"cannot write .* \(No space left on device\); choose"):
        build(small_disk / "place", 1_000, write)
    assert caches(small_disk) == []
    assert path.exists()


def test_a_disk_that_only_gives_is_one_line(small_disk: Path) -> None:
    sample_parquet(Path("set"))
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    assert_one_line(says="cannot write decoded images into cache (Read-only file system)")


def test_a_cache_on_a_disk_that_only_gives_is_read(small_disk: Path) -> None:
    sample_parquet(Path("set"))
    assert forked.run(*TRAIN).returncode == 0
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    done = forked.run(*TRAIN, "seed=1")
    assert done.returncode == 0, done.stderr


def test_a_folder_that_vanishes_while_it_is_filled_is_one_line(tmp_path: Path) -> None:
    def write(folder: Path) -> None:
        shutil.rmtree(tmp_path / "cache")
        (folder / "pixels").write_bytes(b"")

    with pytest.raises(UserError, match=r"cannot write .* \(No such file or directory\); choose"):
        build(tmp_path / "cache" / "place", 0, write)
    assert not (tmp_path / "cache").exists()


def test_what_fails_leaves_no_new_folder_and_keeps_old_ones(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "half").touch()
        raise UserError("bad data")

    (tmp_path / "old").mkdir()
    for place in (tmp_path / "new" / "deep" / "place", tmp_path / "old" / "place"):
        with pytest.raises(UserError, match="bad data"):
            build(place, 0, fail)
    assert caches(tmp_path) == ["old"]
    assert caches(tmp_path / "old") == []


# What becomes of a cache afterwards


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A cache of 30 images."""
    prepared("parquet", sample_parquet(tmp_path / "set"), tmp_path / "cache")
    (place,) = (tmp_path / "cache").iterdir()
    return place


@pytest.mark.parametrize("name", ["train.pixels.npy", "val.pixels.npy", "train.labels.npy"])
def test_a_file_that_was_cut_short_is_seen(name: str, place: Path) -> None:
    os.truncate(place / name, (place / name).stat().st_size - 1)
    message = rf"the cache .*{place.name} is damaged \(.*\); delete that folder"
    with pytest.raises(UserError, match=message):
        prepared("parquet", place.parents[1] / "set", place.parent)


def test_large_files_are_known_by_their_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vitladder.data.store.WHOLE", 0)
    path = sample_parquet(tmp_path / "set")
    prepared("parquet", path, tmp_path / "cache")
    (place,) = (tmp_path / "cache").iterdir()
    os.truncate(place / "train.pixels.npy", (place / "train.pixels.npy").stat().st_size - 1)
    with pytest.raises(UserError, match="is damaged"):
        prepared("parquet", path, tmp_path / "cache")


@pytest.mark.parametrize("name", ["train.pixels.npy", "val.pixels.npy", "train.labels.npy"])
def test_a_flipped_bit_is_seen(name: str, place: Path) -> None:
    content = bytearray((place / name).read_bytes())
    content[-9] ^= 1
    (place / name).write_bytes(content)
    with pytest.raises(UserError, match=rf"{name} is not as it was written.*; delete that folder"):
        prepared("parquet", place.parents[1] / "set", place.parent)


def test_a_copy_that_was_cut_short_is_seen(tmp_path: Path) -> None:
    path = sample_parquet(tmp_path / "set")
    prepared("parquet", path, tmp_path / "cache", **UNCACHED)
    [copy] = (tmp_path / "cache" / "arrow").glob("*/rows.arrow")
    os.truncate(copy, copy.stat().st_size // 2)
    with pytest.raises(UserError, match=r"the copy .* is damaged \(.*\); delete that folder"):
        prepared("parquet", path, tmp_path / "cache", **UNCACHED)


def test_training_goes_on_without_the_folder_of_its_cache(tmp_path: Path) -> None:
    path = sample_parquet(tmp_path / "set")
    data = prepared("parquet", path, tmp_path / "cache")
    assert isinstance(data.train, Images)
    before = data.train.gather(np.arange(27)).copy()
    shutil.rmtree(tmp_path / "cache")
    assert np.array_equal(data.train.gather(np.arange(27)), before)
