"""Sources are found, split and labelled as Hugging Face `datasets` does, or refused."""

from __future__ import annotations

from pathlib import Path, PurePath

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample_data import (
    damage_column,
    damaged_parquet,
    data_config,
    image_bytes,
    random_pixels,
    sample_folder,
    sample_parquet,
)
from sample_data import write_parquet as write

from vitladder.config import DataConfig
from vitladder.data.catalog import read_catalog
from vitladder.data.columns import find_columns
from vitladder.data.sources import Source, read_source
from vitladder.data.splits import SPLIT_NAMES, TRAIN_NAMES, by_split, choose, hold_out
from vitladder.errors import UserError

IMAGE = pa.struct({"bytes": pa.binary(), "path": pa.string()})


def source(config: DataConfig) -> Source:
    return read_source(read_catalog(config), config)


def images(count: int) -> list[bytes]:
    return [image_bytes(random_pixels(i)) for i in range(count)]


# Splits


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
        write(tmp_path / name, [image_bytes(random_pixels(0))], [0])
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


@given(st.lists(st.tuples(words, words, words), min_size=1, unique=True))
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
    write(tmp_path / "x.parquet", images(5), ["a", "a", "b", "b", "c"])
    found = source(data_config("parquet", tmp_path))
    assert found.classes == ("a", "b", "c")
    assert found.train.labels.tolist() == [0, 1, 2]
    assert found.notes == (
        "no held-out split: 10 % of each class of train held out (seed 0)",
        "1 classes with one image are in training only",
    )


# Columns


def schema(features: datasets.Features | None = None, **columns: pa.DataType) -> pa.Schema:
    return pa.schema(columns) if features is None else features.arrow_schema


def test_columns_are_found_by_their_features() -> None:
    found = schema(
        datasets.Features(
            {
                "id": datasets.Value("int64"),
                "picture": datasets.Image(),
                "kind": datasets.ClassLabel(names=["a", "b"]),
            }
        )
    )
    assert find_columns(found, "X", None, None) == ("picture", "kind")


@pytest.mark.parametrize("image", [IMAGE, pa.binary(), pa.large_binary()])
@pytest.mark.parametrize("label", [pa.int64(), pa.string(), pa.bool_(), pa.int8()])
def test_columns_are_found_by_their_types(image: pa.DataType, label: pa.DataType) -> None:
    assert find_columns(schema(photo=image, label=label), "X", None, None) == ("photo", "label")


def test_columns_can_be_given() -> None:
    found = schema(image=IMAGE, other=IMAGE, label=pa.int64(), species=pa.string())
    assert find_columns(found, "X", "other", "species") == ("other", "species")


@pytest.mark.parametrize(
    ("columns", "given", "message"),
    [
        (
            {"a": pa.int64(), "b": pa.string()},
            {},
            r"X has no image column \(columns: a, b\); name it with data.image_column=\.\.\.",
        ),
        (
            {"image": IMAGE, "id": pa.int64()},
            {},
            r"X has no label column \(columns: image, id\); name it with data.label_column=\.\.\.",
        ),
        ({"a": IMAGE, "b": IMAGE, "label": pa.int64()}, {}, r"several image columns \(a, b\)"),
        ({"image": IMAGE, "label": pa.int64()}, {"image": "img"}, "X has no column 'img'"),
        ({"image": IMAGE, "label": pa.int64()}, {"image": "label"}, "holds int64, not image"),
        ({"image": IMAGE, "label": pa.float32()}, {"label": "label"}, "holds float, not classes"),
    ],
)
def test_missing_and_ambiguous_columns_are_refused(
    columns: dict[str, pa.DataType], given: dict[str, str], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        find_columns(schema(**columns), "X", given.get("image"), given.get("label"))


def test_two_class_label_columns_must_be_chosen_from() -> None:
    names = datasets.ClassLabel(names=["a", "b"])
    found = schema(
        datasets.Features({"image": datasets.Image(), "fine_label": names, "coarse_label": names})
    )
    with pytest.raises(UserError, match=r"several label columns \(fine_label, coarse_label\)"):
        find_columns(found, "X", None, None)
    assert find_columns(found, "X", None, "fine_label") == ("image", "fine_label")


# Labels


@pytest.mark.parametrize(
    ("labels", "classes", "numbers"),
    [
        (["dog", "cat", "dog", "cat"], ("cat", "dog"), [1, 0, 1, 0]),
        ([7, 3, 7, 3], ("3", "7"), [1, 0, 1, 0]),
        ([True, False, True, False], ("False", "True"), [1, 0, 1, 0]),
        (pa.array(["dog", "cat", "dog", "cat"]).dictionary_encode(), ("cat", "dog"), [1, 0, 1, 0]),
    ],
)
def test_labels_become_class_numbers(
    labels: object, classes: tuple[str, ...], numbers: list[int], tmp_path: Path
) -> None:
    write(tmp_path / "train.parquet", images(4), labels)
    write(tmp_path / "test.parquet", images(4), labels)
    found = source(data_config("parquet", tmp_path))
    assert found.classes == classes
    assert found.train.labels.tolist() == numbers


def test_a_class_that_only_the_held_out_split_has_is_a_class(tmp_path: Path) -> None:
    write(tmp_path / "train.parquet", images(2), ["a", "c"])
    write(tmp_path / "test.parquet", images(2), ["b", "c"])
    found = source(data_config("parquet", tmp_path))
    assert found.classes == ("a", "b", "c")
    assert found.val.labels.tolist() == [1, 2]


@pytest.mark.parametrize("split", ["train", "test"])
def test_integers_of_every_width_are_the_same_labels(split: str, tmp_path: Path) -> None:
    write(tmp_path / "train-0.parquet", images(2), pa.array([0, 1], pa.int64()))
    write(tmp_path / f"{split}-1.parquet", images(2), pa.array([1, 0], pa.uint8()))
    write(tmp_path / "test-2.parquet", images(2), pa.array([1, 0], pa.int32()))
    found = source(data_config("parquet", tmp_path))
    together = [*found.train.labels.tolist(), *found.val.labels.tolist()]
    assert together == [0, 1, 1, 0, 1, 0]


@pytest.mark.parametrize("split", ["train", "test"])
def test_labels_of_several_types_are_refused_by_name(split: str, tmp_path: Path) -> None:
    write(tmp_path / "train-0.parquet", images(2), [0, 1])
    write(tmp_path / f"{split}-1.parquet", images(2), ["a", "b"])
    with pytest.raises(UserError, match=r"-[01]\.parquet.* another type of label than .*-[01]\."):
        source(data_config("parquet", tmp_path))


def test_a_damaged_page_of_labels_is_named_by_its_file(tmp_path: Path) -> None:
    damaged_parquet(tmp_path / "train.parquet", "label")
    with pytest.raises(UserError, match=r"^train\.parquet is not a readable parquet file \("):
        source(data_config("parquet", tmp_path))


def test_a_damaged_page_of_images_is_named_by_its_file(tmp_path: Path) -> None:
    damaged_parquet(tmp_path / "train.parquet", "image")
    rows = read_catalog(data_config("parquet", tmp_path)).rows["train"]
    with pytest.raises(UserError, match=r"^train\.parquet is not a readable parquet file \("):
        list(rows.scan(np.arange(len(rows))))


def hugging_face_parquet(
    file: Path, labels: list[int | None], names: tuple[str, ...] = ("ant", "bee", "cow")
) -> None:
    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=list(names))}
    )
    rows = {"image": [{"bytes": raw, "path": None} for raw in images(len(labels))], "label": labels}
    pq.write_table(datasets.Dataset.from_dict(rows, features=features).data.table, file)


def test_hugging_face_class_names_are_kept_with_classes_that_do_not_occur(tmp_path: Path) -> None:
    hugging_face_parquet(tmp_path / "x.parquet", [0, 2, 0, 2])
    assert source(data_config("parquet", tmp_path)).classes == ("ant", "bee", "cow")


@pytest.mark.parametrize("other", ["train-1.parquet", "test.parquet"])
def test_class_names_in_another_order_are_refused(other: str, tmp_path: Path) -> None:
    hugging_face_parquet(tmp_path / "train-0.parquet", [0, 1], ("cat", "dog"))
    hugging_face_parquet(tmp_path / other, [0, 1], ("dog", "cat"))
    with pytest.raises(UserError, match=rf"^{other} names its classes otherwise than train-0\."):
        source(data_config("parquet", tmp_path))


@pytest.mark.parametrize(("bad", "message"), [(None, "has no label"), (-1, "has label -1")])
def test_rows_without_a_label_are_named(bad: int | None, message: str, tmp_path: Path) -> None:
    hugging_face_parquet(tmp_path / "train.parquet", [0, 1])
    hugging_face_parquet(tmp_path / "test.parquet", [0, 1, bad, 1])
    with pytest.raises(UserError, match=f"test.parquet row 2 {message}"):
        source(data_config("parquet", tmp_path))


def test_one_class_only_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "x.parquet", images(3), ["cat"] * 3)
    with pytest.raises(UserError, match=r"one class only .'cat'."):
        source(data_config("parquet", tmp_path))


def test_an_empty_split_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "train.parquet", [], pa.array([], pa.int64()))
    with pytest.raises(UserError, match="has no rows in its split 'train'"):
        source(data_config("parquet", tmp_path))


# Parquet rows


def test_rows_of_several_files_and_row_groups_come_in_order(tmp_path: Path) -> None:
    raws = images(50)
    write(tmp_path / "train-0.parquet", raws[:23], [i % 2 for i in range(23)])
    write(tmp_path / "train-1.parquet", raws[23:], [i % 2 for i in range(27)])
    rows = read_catalog(data_config("parquet", tmp_path)).rows["train"]
    chosen = np.array([0, 1, 22, 23, 24, 49])
    assert list(rows.scan(chosen)) == [raws[i] for i in chosen]
    assert rows.where(22) == "train-0.parquet row 22"
    assert rows.where(23) == "train-1.parquet row 0"


def test_row_groups_without_wanted_rows_are_not_read(tmp_path: Path) -> None:
    file = write(tmp_path / "x.parquet", images(20), [i % 2 for i in range(20)])
    damage_column(file, group=0, column=0)
    rows = read_catalog(data_config("parquet", tmp_path)).rows["train"]
    assert list(rows.scan(np.array([7, 19]))) == [images(20)[i] for i in (7, 19)]


def test_a_row_without_an_image_is_named(tmp_path: Path) -> None:
    write(tmp_path / "x.parquet", [images(1)[0], None], [0, 1])
    rows = read_catalog(data_config("parquet", tmp_path)).rows["train"]
    with pytest.raises(UserError, match=r"x.parquet row 1: holds no image"):
        list(rows.scan(np.arange(2)))


# Image folders


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
    (tmp_path / "x.png").write_bytes(images(1)[0])
    with pytest.raises(UserError, match="holds no images in class folders"):
        source(data_config("imagefolder", tmp_path))


# A hub, here a local folder of one


def test_a_local_data_set_of_hugging_face_is_read_whole(tmp_path: Path) -> None:
    sample_parquet(tmp_path / "set", train=12, val=6)
    cache = str(tmp_path / "cache")
    hub = source(data_config("hub", tmp_path / "set", cache=cache))
    own = source(data_config("parquet", tmp_path / "set"))
    assert hub.classes == own.classes
    for part, other in ((hub.train, own.train), (hub.val, own.val)):
        assert np.array_equal(part.labels, other.labels)
        assert list(part.rows.scan(part.indices)) == list(other.rows.scan(other.indices))


def test_a_local_folder_of_image_files_is_read_by_hugging_face(tmp_path: Path) -> None:
    sample_folder(tmp_path / "set", {"train": 6, "val": 4}, ["dog", "cat"])
    hub = source(data_config("hub", tmp_path / "set", cache=str(tmp_path / "cache")))
    own = source(data_config("imagefolder", tmp_path / "set"))
    assert hub.classes == own.classes
    assert sorted(hub.val.rows.scan(hub.val.indices)) == sorted(own.val.rows.scan(own.val.indices))


def test_what_hugging_face_cannot_load_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"^data.path=.*cannot be loaded by Hugging Face") as caught:
        source(data_config("hub", tmp_path / "empty", cache=str(tmp_path / "cache")))
    assert "\n" not in str(caught.value)
