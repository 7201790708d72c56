"""What lies at a source before anything is decoded: its splits, its columns, its class names."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from vitladder.config import DataConfig
from vitladder.data.columns import class_names, find_columns
from vitladder.data.rows import DigitRows, FileRows, ImageRows, ParquetRows, TableRows
from vitladder.data.splits import SPLIT_NAMES, TRAIN_NAMES, by_split
from vitladder.errors import UserError

IMAGE_SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".pgm", ".tif", ".tiff", ".webp")


@dataclass(frozen=True)
class Catalog:
    """The splits of a source: their images in stored order, and how their labels are read."""

    where: str
    rows: dict[str, ImageRows]
    labels: Mapping[str, Callable[[], pa.Array]]
    class_names: tuple[str, ...] | None
    columns: tuple[str, ...]


def read_catalog(config: DataConfig) -> Catalog:
    """Return what lies at data.path; raises UserError where it is not what `data=` says."""
    readers = {
        "digits": _digits,
        "parquet": _parquet,
        "imagefolder": _imagefolder,
        "hub": _hub,
    }
    return readers[config.name](config)


def _digits(config: DataConfig) -> Catalog:
    if config.streaming:
        raise UserError("data=digits is in memory; leave data.streaming=false")
    rows = DigitRows()
    names = tuple(str(digit) for digit in range(len(rows.CLASS_COUNTS)))
    return Catalog("digits", {"train": rows}, {"train": lambda: pa.array(rows.labels)}, names, ())


def local_path(config: DataConfig) -> Path:
    """Return data.path; raises UserError when nothing is there."""
    path = Path(config.path or "")
    if not config.path or not path.exists():
        raise UserError(
            f"no such file or folder: {config.path}; data.path must name "
            f"{_EXPECTED.get(config.name, 'the data')}"
        )
    return path


_EXPECTED = {
    "parquet": "a parquet file or a folder of them",
    "imagefolder": "a folder with one folder of images per class",
}


def _parquet(config: DataConfig) -> Catalog:
    path = local_path(config)
    root = path.parent if path.is_file() else path
    files = [path] if path.is_file() else sorted(path.rglob("*.parquet"))
    relative = [file for file in (file.relative_to(root) for file in files) if not _hidden(file)]
    if not relative:
        raise UserError(f"{path} holds no parquet files (*.parquet)")
    splits = {"train": relative} if path.is_file() else by_split(relative)
    schemas = {file: _schema(root / file, file) for names in splits.values() for file in names}
    first, (schema, _) = next(iter(schemas.items()))
    image, label = find_columns(schema, str(first), config.image_column, config.label_column)
    for file, (other, _) in schemas.items():
        find_columns(other, str(file), image, label)
    rows: dict[str, ImageRows] = {
        split: ParquetRows(
            files=tuple(root / file for file in names),
            names=tuple(str(file) for file in names),
            counts=tuple(schemas[file][1] for file in names),
            column=image,
        )
        for split, names in splits.items()
    }
    labels = {
        split: partial(_column, [root / file for file in names], label)
        for split, names in splits.items()
    }
    return Catalog(str(path), rows, labels, class_names(schema, label), (image, label))


def _schema(file: Path, name: PurePath) -> tuple[pa.Schema, int]:
    try:
        with pq.ParquetFile(file) as table:
            return table.schema_arrow, table.metadata.num_rows
    except (pa.ArrowException, OSError) as problem:
        reason = str(problem).splitlines()[0]
        raise UserError(f"{name} is not a readable parquet file ({reason})") from problem


def _column(files: list[Path], column: str) -> pa.Array:
    pieces = []
    for file in files:
        with pq.ParquetFile(file) as table:
            pieces.extend(table.read(columns=[column]).column(0).chunks)
    return _flat(pieces)


def _flat(pieces: list[pa.Array]) -> pa.Array:
    plain = [
        piece.dictionary_decode() if pa.types.is_dictionary(piece.type) else piece
        for piece in pieces
    ]
    return pa.concat_arrays(plain) if plain else pa.array([], pa.int64())


def _imagefolder(config: DataConfig) -> Catalog:
    root = local_path(config)
    if not root.is_dir():
        raise UserError(f"{root} is a file; data.path must name {_EXPECTED['imagefolder']}")
    folders = sorted(entry.name for entry in os.scandir(root) if entry.is_dir())
    divided = any(name in TRAIN_NAMES for name in folders)
    names = [name for name in folders if name in SPLIT_NAMES]
    bases = {name: root / name for name in names} if divided else {"train": root}
    found = {split: _class_files(base, root) for split, base in bases.items()}
    if not any(found.values()):
        raise UserError(
            f"{root} holds no images in class folders; data.path must name "
            f"{_EXPECTED['imagefolder']}"
        )
    classes = tuple(sorted({label for files in found.values() for _, label in files}))
    number = {name: i for i, name in enumerate(classes)}
    rows: dict[str, ImageRows] = {
        split: FileRows(root, tuple(file for file, _ in files)) for split, files in found.items()
    }
    labels = {
        split: partial(pa.array, [number[label] for _, label in files], pa.int64())
        for split, files in found.items()
    }
    return Catalog(str(root), rows, labels, classes, ())


def _class_files(base: Path, root: Path) -> list[tuple[str, str]]:
    """Return (file relative to root, class) of every image, class folder by class folder."""
    files = []
    for entry in sorted(base.iterdir()):
        if entry.is_dir():
            for folder, _, names in os.walk(entry):
                inside = [Path(folder, name) for name in names]
                files += [
                    (file.relative_to(root).as_posix(), entry.name)
                    for file in inside
                    if file.suffix.lower() in IMAGE_SUFFIXES and not _hidden(file.relative_to(root))
                ]
    return sorted(files)


def _hidden(file: PurePath) -> bool:
    return any(part.startswith((".", "__")) for part in file.parts)


def _hub(config: DataConfig) -> Catalog:
    from vitladder.data.hub import load

    tables: dict[str, Any] = load(config)
    where = str(config.path)
    schema = next(iter(tables.values())).features.arrow_schema
    image, label = find_columns(schema, where, config.image_column, config.label_column)
    rows: dict[str, ImageRows] = {
        split: TableRows(
            table=table.select_columns([image, label]),
            column=image,
            where=_row_name(where, split),
            listing=f"{where} {split} {len(table)}",
        )
        for split, table in tables.items()
    }
    labels = {split: partial(_table_column, table, label) for split, table in tables.items()}
    return Catalog(where, rows, labels, class_names(schema, label), (image, label))


def _table_column(table: Any, column: str) -> pa.Array:
    return _flat(table.with_format("arrow")[:][column].chunks)


def _row_name(where: str, split: str) -> Callable[[int], str]:
    return lambda index: f"{where} {split} row {index}"


def first_row(rows: ImageRows, index: int) -> tuple[Any, str]:
    """Return one encoded image and its name."""
    return next(iter(rows.scan(np.array([index])))), rows.where(index)
