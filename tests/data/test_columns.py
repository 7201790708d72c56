"""The columns of images and of classes are found, or asked for by name."""

from __future__ import annotations

import datasets
import pyarrow as pa
import pytest

from vitladder.data.columns import find_columns
from vitladder.errors import UserError

IMAGE = pa.struct({"bytes": pa.binary(), "path": pa.string()})


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
