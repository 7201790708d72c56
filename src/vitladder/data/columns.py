"""Which column of a table holds the images, which one the classes, and what the classes are."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from vitladder.data.draws import IntArray
from vitladder.errors import UserError

_IMAGE_NAMES = ("image", "img")
_LABEL_NAMES = ("label", "labels", "class", "target", "category")


def find_columns(
    schema: pa.Schema, where: str, image: str | None, label: str | None
) -> tuple[str, str]:
    """Return the names of the image and the label column of an Arrow schema.

    Asked-for names win; else Hugging Face's own feature types (Image, ClassLabel); else columns
    that hold files, and labels by their usual names. Raises UserError where none or several fit.
    """
    features = _features(schema)
    images = [name for name in schema.names if features.get(name, {}).get("_type") == "Image"]
    images = images or [name for name in schema.names if _holds_images(schema.field(name).type)]
    image = _choose(schema, where, "image", image, images, _IMAGE_NAMES)
    if not _holds_images(schema.field(image).type):
        raise UserError(
            f"{where}: column '{image}' holds {schema.field(image).type}, not image files; "
            f"name another with data.image_column=..."
        )
    labels = [name for name in schema.names if features.get(name, {}).get("_type") == "ClassLabel"]
    fits = [name for name in schema.names if _holds_classes(schema.field(name).type)]
    labels = labels or [name for name in _LABEL_NAMES if name in fits]
    label = _choose(schema, where, "label", label, labels, _LABEL_NAMES)
    if not _holds_classes(schema.field(label).type):
        raise UserError(
            f"{where}: column '{label}' holds {schema.field(label).type}, not classes; "
            f"name another with data.label_column=..."
        )
    return image, label


def class_names(schema: pa.Schema, label: str) -> tuple[str, ...] | None:
    """Return the class names that a Hugging Face ClassLabel column carries, if it is one."""
    feature = _features(schema).get(label, {})
    names = feature.get("names") if feature.get("_type") == "ClassLabel" else None
    return None if names is None else tuple(str(name) for name in names)


def plain_labels(column: pa.ChunkedArray) -> pa.Array:
    """Return a column of classes as one array: integers of any width as int64, text as text."""
    plain = [
        piece.dictionary_decode() if pa.types.is_dictionary(piece.type) else piece
        for piece in column.chunks
    ]
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if pa.types.is_integer(kind):
        kind = pa.int64()
    elif pa.types.is_string(kind):
        kind = pa.large_string()
    return pa.concat_arrays([piece.cast(kind) for piece in plain]) if plain else pa.array([], kind)


def encode(
    values: Sequence[pa.Array], names: tuple[str, ...] | None, where: Callable[[int, int], str]
) -> tuple[list[IntArray], tuple[str, ...]]:
    """Return each array of labels as class numbers 0..K-1, and the K class names.

    Without given names the classes are the sorted distinct values of all arrays. `where` names
    row r of array i. Raises UserError for rows without a label.
    """
    for i, column in enumerate(values):
        if column.null_count:
            row = int(np.flatnonzero(np.asarray(column.is_null()))[0])
            raise UserError(f"{where(i, row)} has no label; every row needs one")
    arrays = [np.asarray(column) for column in values]
    if len({array.dtype.kind for array in arrays}) > 1:
        raise UserError(
            f"{where(0, 0)} has another type of label than {where(1, 0)}; write both as numbers, "
            f"or both as names"
        )
    if names is None:
        found = sorted({value for array in arrays for value in np.unique(array).tolist()})
        known = np.asarray(found, dtype=arrays[0].dtype)
        numbers = [np.searchsorted(known, array).astype(np.int64) for array in arrays]
        return numbers, tuple(str(value) for value in found)
    for i, array in enumerate(arrays):
        outside = np.flatnonzero((array < 0) | (array >= len(names)))
        if outside.size:
            raise UserError(
                f"{where(i, int(outside[0]))} has label {array[outside[0]]}, outside the "
                f"{len(names)} classes; choose a split with labels"
            )
    return [array.astype(np.int64) for array in arrays], names


def _features(schema: pa.Schema) -> dict[str, dict[str, Any]]:
    """Return the Hugging Face feature of each column, from the schema's metadata."""
    text = (schema.metadata or {}).get(b"huggingface")
    if text is None:
        return {}
    features = json.loads(text).get("info", {}).get("features") or {}
    return {name: value for name, value in features.items() if isinstance(value, dict)}


def _holds_images(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return any(field.name == "bytes" for field in kind)
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _holds_classes(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    checks = (
        pa.types.is_integer,
        pa.types.is_boolean,
        pa.types.is_string,
        pa.types.is_large_string,
    )
    return any(check(kind) for check in checks)


def _choose(
    schema: pa.Schema,
    where: str,
    kind: str,
    asked: str | None,
    candidates: list[str],
    usual: tuple[str, ...],
) -> str:
    have = ", ".join(schema.names)
    if asked is not None:
        if asked not in schema.names:
            raise UserError(f"{where} has no column '{asked}' (columns: {have})")
        return asked
    if not candidates:
        raise UserError(
            f"{where} has no {kind} column (columns: {have}); name it with data.{kind}_column=..."
        )
    if len(candidates) == 1:
        return candidates[0]
    named = [name for name in usual if name in candidates]
    if not named:
        raise UserError(
            f"{where} has several {kind} columns ({', '.join(candidates)}); "
            f"choose one with data.{kind}_column=..."
        )
    return named[0]
