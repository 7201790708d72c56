"""What lies at a source before anything is decoded: its splits, its columns, its class names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePath
from typing import Any

import pyarrow as pa

from vitladder.config import DataConfig
from vitladder.data.columns import class_names, find_columns, plain_labels
from vitladder.data.folders import files_by_split, hidden
from vitladder.data.one_line import shown
from vitladder.data.parquet import ParquetRows, read_schema
from vitladder.data.rows import DigitRows, FileRows, ImageRows, TableRows
from vitladder.data.splits import by_split, choose
from vitladder.errors import UserError


@dataclass(frozen=True)
class Catalog:
    """The splits of a source: their images in stored order, and how their labels are read.

    `train` and `val` are the splits that are used; `val` is None when one has to be made.
    """

    where: str
    rows: Mapping[str, ImageRows]
    labels: Mapping[str, Callable[[], pa.Array]]
    class_names: tuple[str, ...] | None
    columns: tuple[str, ...]
    train: str
    val: str | None

    @property
    def used(self) -> tuple[str, ...]:
        """The training split, and the held-out one when it is stored."""
        return (self.train,) if self.val is None else (self.train, self.val)


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
    digits = DigitRows()
    train, val = choose(["train"], config, "digits")
    return Catalog(
        where="digits",
        rows={"train": digits},
        labels={"train": lambda: pa.array(digits.labels)},
        class_names=tuple(str(digit) for digit in range(len(digits.CLASS_COUNTS))),
        columns=(),
        train=train,
        val=val,
    )


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
    root, splits = _parquet_files(path)
    train, val = choose(list(splits), config, str(path))
    files = [file for names in splits.values() for file in names]
    schemas, counts = {}, {}
    for file in files:
        schemas[file], counts[file] = read_schema(root / file, shown(str(file)))
    used = [file for split in (train, val) if split is not None for file in splits[split]]
    image, label = _shared_columns(schemas, used[0], config)
    rows = {
        split: ParquetRows(
            files=tuple(root / file for file in names),
            names=tuple(shown(str(file)) for file in names),
            counts=tuple(counts[file] for file in names),
            column=image,
        )
        for split, names in splits.items()
    }
    return Catalog(
        where=str(path),
        rows=rows,
        labels={split: partial(found.labels, label) for split, found in rows.items()},
        class_names=_shared_names({str(file): class_names(schemas[file], label) for file in used}),
        columns=(image, label),
        train=train,
        val=val,
    )


def _parquet_files(path: Path) -> tuple[Path, dict[str, list[PurePath]]]:
    """Return the folder of the files, and the files of each split relative to it."""
    root = path.parent if path.is_file() else path
    found = [path] if path.is_file() else sorted(path.rglob("*.parquet"))
    # Spark writes folders that are called so too.
    relative = [file.relative_to(root) for file in found if not file.is_dir()]
    files = [file for file in relative if not hidden(file)]
    if not files:
        raise UserError(
            f"{path} holds no parquet files (*.parquet); data.path must name {_EXPECTED['parquet']}"
        )
    return root, {"train": list[PurePath](files)} if path.is_file() else by_split(files)


def _shared_columns(
    schemas: Mapping[PurePath, pa.Schema], first: PurePath, config: DataConfig
) -> tuple[str, str]:
    """Return the image and the label column of one file; UserError where another lacks them."""
    image, label = find_columns(
        schemas[first], str(first), config.image_column, config.label_column
    )
    for file, schema in schemas.items():
        find_columns(schema, str(file), image, label)
    return image, label


def _shared_names(found: Mapping[str, tuple[str, ...] | None]) -> tuple[str, ...] | None:
    """Return the class names that all files or splits give; raises UserError when they differ."""
    first, names = next(iter(found.items()))
    for other, theirs in found.items():
        if theirs != names:
            raise UserError(
                f"{other} names its classes otherwise than {first}, so one number means two "
                f"classes; write both with the same names in the same order"
            )
    return names


def _imagefolder(config: DataConfig) -> Catalog:
    root = local_path(config)
    if not root.is_dir():
        raise UserError(f"{root} is a file; data.path must name {_EXPECTED['imagefolder']}")
    found = files_by_split(root, config.train_split)
    if not any(found.values()):
        raise UserError(
            f"{root} holds no images in class folders; data.path must name "
            f"{_EXPECTED['imagefolder']}"
        )
    classes = tuple(sorted({label for files in found.values() for _, label in files}))
    number = {name: i for i, name in enumerate(classes)}
    train, val = choose(list(found), config, str(root))
    return Catalog(
        where=str(root),
        rows={
            split: FileRows(root, tuple(file for file, _ in files))
            for split, files in found.items()
        },
        labels={
            split: partial(pa.array, [number[label] for _, label in files], pa.int64())
            for split, files in found.items()
        },
        class_names=tuple(shown(name) for name in classes),
        columns=(),
        train=train,
        val=val,
    )


def _hub(config: DataConfig) -> Catalog:
    from vitladder.data.hub import file_bytes, load

    tables: dict[str, Any] = load(config)
    where = str(config.path)
    train, val = choose(list(tables), config, where)
    schemas = {split: table.features.arrow_schema for split, table in tables.items()}
    image, label = find_columns(schemas[train], where, config.image_column, config.label_column)
    return Catalog(
        where=where,
        rows={
            split: TableRows(
                table=table.select_columns([image, label]),
                column=image,
                where=_row_name(where, split),
                read_value=file_bytes,
            )
            for split, table in tables.items()
        },
        labels={split: partial(_table_labels, table, label) for split, table in tables.items()},
        class_names=_shared_names(
            {
                f"{where} {split}": class_names(schemas[split], label)
                for split in (train, val)
                if split is not None
            }
        ),
        columns=(image, label),
        train=train,
        val=val,
    )


def _table_labels(table: Any, column: str) -> pa.Array:
    return plain_labels(table.with_format("arrow")[:][column])


def _row_name(where: str, split: str) -> Callable[[int], str]:
    return lambda index: f"{where} {split} row {index}"
