"""Splits are found as Hugging Face `datasets` finds them, and held-out images never train."""

from __future__ import annotations

from pathlib import Path, PurePath

import datasets
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample_data import data_config, sample_image, sample_images, source
from sample_data import write_parquet as write

from vitladder.data.splits import SPLIT_NAMES, TRAIN_NAMES, by_split, choose, hold_out
from vitladder.errors import UserError


@pytest.mark.parametrize(
    "names",
    [
        ["train.parquet", "test.parquet"],
        ["data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet"],
        ["train/a.parquet", "val/a.parquet", "test/b.parquet"],
        ["my_train_file.parquet", "my-dev-file.parquet", "x.eval.parquet"],
        ["cifar.parquet"],
        ["trainer.parquet", "contest.parquet"],
        ["training.parquet", "validation.parquet"],
        ["train/test.parquet", "train/x.parquet"],
        ["deep/er/valid-1/x.parquet", "deep/er/training-1/x.parquet"],
    ],
)
def test_files_are_split_as_hugging_face_splits_them(names: list[str], tmp_path: Path) -> None:
    for name in names:
        write(tmp_path / name, [sample_image(0)], [0])
    patterns = datasets.data_files.get_data_patterns(str(tmp_path))
    theirs = datasets.data_files.DataFilesDict.from_patterns(patterns, base_path=str(tmp_path))
    expected = {
        str(split): sorted(str(Path(file).relative_to(tmp_path)) for file in files)
        for split, files in theirs.items()
    }
    found = by_split([PurePath(name) for name in sorted(names)])
    assert {split: sorted(map(str, files)) for split, files in found.items()} == expected


def grouped(*names: str) -> dict[str, list[str]]:
    found = by_split([PurePath(name) for name in names])
    return {split: [str(file) for file in files] for split, files in found.items()}


def test_the_deepest_folder_that_names_a_split_wins() -> None:
    names = ["train_data/train/x.parquet", "train_data/validation/x.parquet"]
    assert grouped(*names) == {"train": names[:1], "validation": names[1:]}


def test_a_file_that_no_folder_names_is_split_by_its_own_name() -> None:
    names = ["train/0.parquet", "test.parquet"]
    assert grouped(*names) == {"train": names[:1], "test": names[1:]}


def test_split_names_are_read_in_upper_and_lower_case() -> None:
    names = ["Train/0.parquet", "TEST-1.parquet"]
    assert grouped(*names) == {"train": names[:1], "test": names[1:]}


def test_a_file_of_no_split_beside_others_is_refused() -> None:
    with pytest.raises(UserError, match=r"^notes\.parquet belongs to no split"):
        grouped("notes.parquet", "train.parquet")


words = st.sampled_from(["train", "val_data", "Test", "x", "more", "evaluation"])


@given(st.lists(st.tuples(words, words, words), min_size=1, max_size=5, unique=True))
def test_no_file_is_in_two_splits(places: list[tuple[str, str, str]]) -> None:
    files = [PurePath(a, b, f"{c}.parquet") for a, b, c in places]
    try:
        splits = by_split(files)
    except UserError:
        return
    assert sorted(file for found in splits.values() for file in found) == sorted(files)


@pytest.mark.parametrize("name", SPLIT_NAMES)
def test_every_name_of_a_held_out_split_is_found(name: str) -> None:
    if name not in TRAIN_NAMES:
        assert choose(["train", name], data_config("parquet"), "X") == ("train", name)


@pytest.mark.parametrize(
    ("have", "chosen"),
    [
        (["train", "test"], ("train", "test")),
        (["train", "validation", "test"], ("train", "validation")),
        (["train", "dev", "valid"], ("train", "valid")),
        (["train"], ("train", None)),
        (["all"], ("all", None)),
        (["training", "val"], ("training", "val")),
    ],
)
def test_the_held_out_split_is_found(have: list[str], chosen: tuple[str, str | None]) -> None:
    assert choose(have, data_config("parquet"), "X") == chosen


def test_named_splits_win() -> None:
    config = data_config("parquet", train_split="extra", val_split="train")
    assert choose(["train", "extra", "test"], config, "X") == ("extra", "train")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"val_split": "tset"},
            r"no split in X called 'tset'; did you mean 'test'\? .*test, train",
        ),
        ({"train_split": "all"}, r"no split in X called 'all'.*have: test, train"),
        ({"val_split": "train"}, "is the training split"),
    ],
)
def test_unknown_splits_are_refused(changes: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        choose(["train", "test"], data_config("parquet", **changes), "X")


def test_several_splits_without_train_are_refused() -> None:
    with pytest.raises(UserError, match=r"X has no split 'train'; name one .*have: a, b"):
        choose(["a", "b"], data_config("parquet"), "X")


@pytest.mark.parametrize("fraction", [0.0, 1.0])
def test_a_fraction_that_holds_out_nothing_or_all_is_refused(fraction: float) -> None:
    with pytest.raises(UserError, match=f"data.val_fraction={fraction:g} makes none"):
        choose(["train"], data_config("parquet", val_fraction=fraction), "X")


def test_streams_need_a_stored_held_out_split() -> None:
    with pytest.raises(UserError, match="a stream cannot be divided"):
        choose(["train"], data_config("parquet", streaming=True), "X")


@given(st.lists(st.integers(2, 40), min_size=1, max_size=6), st.floats(0.01, 0.99))
def test_held_out_images_are_a_share_of_every_class_and_never_train(
    class_counts: list[int], fraction: float
) -> None:
    labels = np.repeat(np.arange(len(class_counts)), class_counts)
    kept, held = hold_out(labels, fraction)
    assert np.array_equal(np.sort(np.concatenate([kept, held])), np.arange(labels.size))
    for number, count in enumerate(class_counts):
        out = int((labels[held] == number).sum())
        assert 1 <= out <= count - 1
        assert abs(out - fraction * count) <= 1
    again = hold_out(labels, fraction)
    assert np.array_equal(again[0], kept)
    assert np.array_equal(again[1], held)


def test_a_class_of_one_image_stays_in_training(tmp_path: Path) -> None:
    write(tmp_path / "x.parquet", sample_images(5), ["a", "a", "b", "b", "c"])
    found = source(data_config("parquet", tmp_path))
    assert found.classes == ("a", "b", "c")
    assert found.train.labels.tolist() == [0, 1, 2]
    assert found.notes == (
        "no held-out split: 10 % of each class of train held out (seed 0)",
        "1 classes with one image are in training only",
    )
