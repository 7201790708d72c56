"""Folders of images are splits or classes, never one taken for the other."""

from __future__ import annotations

from pathlib import Path

import pytest
from sample_data import data_config, sample_folder, sample_images, source

from vitladder.data.catalog import read_catalog
from vitladder.errors import UserError


def test_an_image_folder_has_its_splits_and_classes(tmp_path: Path) -> None:
    sample_folder(tmp_path, {"train": 6, "val": 4}, ["dog", "cat"])
    catalog = read_catalog(data_config("imagefolder", tmp_path))
    found = source(data_config("imagefolder", tmp_path))
    assert {split: len(rows) for split, rows in catalog.rows.items()} == {"train": 6, "val": 4}
    assert found.classes == ("cat", "dog")
    assert found.notes == ("held out: the split 'val'",)
    names = [found.train.rows.where(i) for i in range(6)]
    assert [name.split("/")[1] for name in names] == [found.classes[i] for i in found.train.labels]


def test_split_folders_are_found_in_upper_and_lower_case(tmp_path: Path) -> None:
    sample_folder(tmp_path, {"Train": 6, "TEST": 4}, ["dog", "cat"])
    found = source(data_config("imagefolder", tmp_path))
    assert found.classes == ("cat", "dog")
    assert (len(found.train), len(found.val)) == (6, 4)
    assert found.notes == ("held out: the split 'test'",)


def test_two_folders_of_one_split_are_refused(tmp_path: Path) -> None:
    sample_folder(tmp_path, {"Train": 4, "train": 4}, ["dog", "cat"])
    with pytest.raises(UserError, match=r"two folders for the split 'train' \(Train, train\)"):
        source(data_config("imagefolder", tmp_path))


def test_class_folders_alone_are_training_images_even_if_called_test(tmp_path: Path) -> None:
    sample_folder(tmp_path, {"": 9}, ["test tube", "training shoe", "val"])
    found = source(data_config("imagefolder", tmp_path))
    assert found.classes == ("test tube", "training shoe", "val")
    assert (len(found.train), len(found.val)) == (6, 3)


def test_hidden_and_other_files_are_no_images(tmp_path: Path) -> None:
    sample_folder(tmp_path, {"": 4}, ["cat", "dog"])
    (tmp_path / "cat" / "._000.png").write_bytes(b"")
    (tmp_path / "cat" / "notes.txt").write_text("")
    assert len(read_catalog(data_config("imagefolder", tmp_path)).rows["train"]) == 4


def test_a_folder_without_class_folders_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(sample_images(1)[0])
    with pytest.raises(UserError, match="holds no images in class folders"):
        source(data_config("imagefolder", tmp_path))


def test_split_folders_may_be_named_in_several_words(tmp_path: Path) -> None:
    sample_folder(tmp_path, {"train_set": 6, "test_set": 4}, ["dog", "cat"])
    found = source(data_config("imagefolder", tmp_path))
    assert found.classes == ("cat", "dog")
    assert (len(found.train), len(found.val)) == (6, 4)
    assert found.notes == ("held out: the split 'test'",)


def test_two_folders_that_name_one_split_in_several_words_are_refused(tmp_path: Path) -> None:
    sample_folder(tmp_path, {"train_a": 4, "train_b": 4}, ["dog", "cat"])
    with pytest.raises(UserError, match=r"two folders for the split 'train' \(train_a, train_b\)"):
        source(data_config("imagefolder", tmp_path))


@pytest.mark.parametrize("classes", [["cat", "dog"], ["."]], ids=["nested", "flat"])
@pytest.mark.parametrize("folders", [["test", "val"], ["test images", "val images"], ["eval"]])
def test_splits_of_which_none_is_for_training_are_refused(
    folders: list[str], classes: list[str], tmp_path: Path
) -> None:
    sample_folder(tmp_path, dict.fromkeys(folders, 4), classes)
    message = rf"has no training split \(its folders: {', '.join(folders)}\); rename one"
    with pytest.raises(UserError, match=message) as caught:
        source(data_config("imagefolder", tmp_path))
    assert "\n" not in str(caught.value)


def test_a_split_of_another_name_can_be_asked_for_training(tmp_path: Path) -> None:
    sample_folder(tmp_path, {"val": 6, "test": 4}, ["dog", "cat"])
    found = source(data_config("imagefolder", tmp_path, train_split="val"))
    assert (len(found.train), len(found.val)) == (6, 4)


@pytest.mark.parametrize("folders", [["train", "test"], ["train_images", "test_images"]])
def test_splits_without_class_folders_are_refused(folders: list[str], tmp_path: Path) -> None:
    sample_folder(tmp_path, {"": 4}, folders)
    with pytest.raises(UserError, match="holds no images in class folders"):
        source(data_config("imagefolder", tmp_path))


@pytest.mark.parametrize("inside", ["", "{} by day", "images"])
def test_a_class_called_train_beside_others_is_a_class(inside: str, tmp_path: Path) -> None:
    for name in ("train", "bus", "car"):
        sample_folder(tmp_path / name, {inside.format(name): 3}, ["."])
    found = source(data_config("imagefolder", tmp_path))
    assert found.classes == ("bus", "car", "train")
    assert len(found.train) + len(found.val) == 9


def test_a_folder_of_no_split_beside_splits_of_the_same_classes_is_refused(tmp_path: Path) -> None:
    sample_folder(tmp_path, {"train": 4, "val": 4, "more": 4}, ["dog", "cat"])
    message = r"more belongs to no split, and train, val do; rename it .* or move it away"
    with pytest.raises(UserError, match=message):
        source(data_config("imagefolder", tmp_path))


def test_folders_without_images_are_neither_splits_nor_classes(tmp_path: Path) -> None:
    sample_folder(tmp_path, {"train_set": 6, "test_set": 4}, ["dog", "cat"])
    for name in ("annotations/cat/0.xml", ".git/x.png", "__MACOSX/train_set/cat/x.png"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text("")
    assert source(data_config("imagefolder", tmp_path)).classes == ("cat", "dog")


def test_class_folders_may_lie_elsewhere(tmp_path: Path) -> None:
    sample_folder(tmp_path / "elsewhere", {"": 6}, ["dog", "cat"])
    for split in ("train_set", "test_set"):
        (tmp_path / "set" / split).mkdir(parents=True)
        for name in ("dog", "cat"):
            (tmp_path / "set" / split / name).symlink_to(tmp_path / "elsewhere" / name)
    found = source(data_config("imagefolder", tmp_path / "set"))
    assert (len(found.train), len(found.val), found.classes) == (6, 6, ("cat", "dog"))
