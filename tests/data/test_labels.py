"""Labels of any type become class numbers, or are refused by file and row."""

from __future__ import annotations

from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sample_data import damaged_parquet, data_config, sample_images, source
from sample_data import write_parquet as write

from vitladder.errors import UserError


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
    write(tmp_path / "train.parquet", sample_images(4), labels)
    write(tmp_path / "test.parquet", sample_images(4), labels)
    found = source(data_config("parquet", tmp_path))
    assert found.classes == classes
    assert found.train.labels.tolist() == numbers


def test_a_class_that_only_the_held_out_split_has_is_a_class(tmp_path: Path) -> None:
    write(tmp_path / "train.parquet", sample_images(2), ["a", "c"])
    write(tmp_path / "test.parquet", sample_images(2), ["b", "c"])
    found = source(data_config("parquet", tmp_path))
    assert found.classes == ("a", "b", "c")
    assert found.val.labels.tolist() == [1, 2]


@pytest.mark.parametrize("split", ["train", "test"])
def test_integers_of_every_width_are_the_same_labels(split: str, tmp_path: Path) -> None:
    write(tmp_path / "train-0.parquet", sample_images(2), pa.array([0, 1], pa.int64()))
    write(tmp_path / f"{split}-1.parquet", sample_images(2), pa.array([1, 0], pa.uint8()))
    write(tmp_path / "test-2.parquet", sample_images(2), pa.array([1, 0], pa.int32()))
    found = source(data_config("parquet", tmp_path))
    together = [*found.train.labels.tolist(), *found.val.labels.tolist()]
    assert together == [0, 1, 1, 0, 1, 0]


@pytest.mark.parametrize("split", ["train", "test"])
def test_labels_of_several_types_are_refused_by_name(split: str, tmp_path: Path) -> None:
    write(tmp_path / "train-0.parquet", sample_images(2), [0, 1])
    write(tmp_path / f"{split}-1.parquet", sample_images(2), ["a", "b"])
    with pytest.raises(UserError, match=r"-[01]\.parquet.* another type of label than .*-[01]\."):
        source(data_config("parquet", tmp_path))


def test_a_damaged_page_of_labels_is_named_by_its_file(tmp_path: Path) -> None:
    damaged_parquet(tmp_path / "train.parquet", "label")
    with pytest.raises(UserError, match=r"^train\.parquet is not a readable parquet file \("):
        source(data_config("parquet", tmp_path))


def hugging_face_parquet(
    file: Path, labels: list[int | None], names: tuple[str, ...] = ("ant", "bee", "cow")
) -> None:
    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=list(names))}
    )
    rows = {
        "image": [{"bytes": raw, "path": None} for raw in sample_images(len(labels))],
        "label": labels,
    }
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
    write(tmp_path / "x.parquet", sample_images(3), ["cat"] * 3)
    with pytest.raises(UserError, match=r"one class only .'cat'."):
        source(data_config("parquet", tmp_path))


def test_an_empty_split_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "train.parquet", [], pa.array([], pa.int64()))
    with pytest.raises(UserError, match="has no rows in its split 'train'"):
        source(data_config("parquet", tmp_path))
