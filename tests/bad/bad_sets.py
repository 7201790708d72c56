"""The words that a case of bad data is written in: what lies there, the command, its one line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
from sample_data import (
    CARD,
    damage_column,
    sample_folder,
    sample_image,
    sample_images,
    sample_parquet,
    write_parquet,
)

TRAIN = ("train", "compute.steps=1", "logger=csv", "threads=1", "model=micro-8")
PLAN = ("plan",)
DATA = ("data", "set")
PARQUET = ("data=parquet", "data.path=set")
FOLDER = ("data=imagefolder", "data.path=set")
HUB = ("data=hub", "data.path=set", "data.cache=cache")
UNCACHED = "data.cache_gib=1e-9"
STREAMED = "data.streaming=true"
SKIP = "data.on_error=skip"
WHAT_TO_DO = "mend or remove it, or leave it out with data.on_error=skip"


@dataclass(frozen=True)
class Case:
    """What lies in the folder `set`, the command, and the words that its one line must hold.

    `leaves` is the folder of a copy that is whole, and of use to the next command; else the
    command leaves nothing.
    """

    name: str
    write: Callable[[Path], Any]
    command: tuple[str, ...]
    says: tuple[str, ...]
    leaves: str | None = None


def nothing(folder: Path) -> None:
    """Write nothing at all."""


def parquet(
    images: Sequence[bytes | None] = (),
    labels: Sequence[Any] | pa.Array = (),
    *,
    file: str = "train.parquet",
    columns: tuple[str, str] = ("image", "label"),
) -> Callable[[Path], Any]:
    """A parquet file: of 20 images of two classes, unless images or labels are given."""
    stored = list(images) or sample_images(20)
    classes = labels if len(labels) else [i % 2 for i in range(len(stored))]
    return lambda folder: write_parquet(folder / file, stored, classes, columns)


def all_of(*writes: Callable[[Path], Any]) -> Callable[[Path], Any]:
    """Several things in one folder."""

    def write(folder: Path) -> None:
        for one in writes:
            one(folder)

    return write


def with_one(image: bytes | None, row: int = 17, count: int = 20) -> Callable[[Path], Any]:
    """Training and held-out parquet files, one training row of which holds this image."""
    images: list[bytes | None] = [sample_image(i % 20) for i in range(count)]
    images[row] = image
    return all_of(parquet(images), parquet(sample_images(4), file="test.parquet"))


def folder_with_one(content: bytes, name: str = "dog/003.png") -> Callable[[Path], Any]:
    """A folder of two classes, one file of which has this content."""

    def write(folder: Path) -> None:
        sample_folder(folder, {"": 8}, ["cat", "dog"])
        (folder / name).write_bytes(content)

    return write


def folder_with(make: Callable[[Path], Any]) -> Callable[[Path], Any]:
    """A folder of two classes, and beside its images what `make` puts at dog/odd.png."""

    def write(folder: Path) -> None:
        sample_folder(folder, {"": 8}, ["cat", "dog"])
        make(folder / "dog" / "odd.png")

    return write


def damaged_groups(groups: Sequence[int]) -> Callable[[Path], Any]:
    """Training and held-out parquet files; the images of some row groups of 7 are damaged."""

    def write(folder: Path) -> None:
        sample_parquet(folder, train=60, val=6)
        for group in groups:
            damage_column(folder / "train.parquet", group, 0)

    return write


def cut(share: float) -> Callable[[Path], Any]:
    """A parquet file of which only the beginning is there."""

    def write(folder: Path) -> None:
        file = sample_parquet(folder) / "train.parquet"
        file.write_bytes(file.read_bytes()[: int(share * file.stat().st_size)])

    return write


def class_labels(labels: Sequence[int | None], names: Sequence[str]) -> Callable[[Path], Any]:
    """A parquet file with the ClassLabel column of Hugging Face, whose names number the classes."""

    def write(folder: Path) -> None:
        features = datasets.Features(
            {"image": datasets.Image(), "label": datasets.ClassLabel(names=list(names))}
        )
        # What `datasets` itself would refuse: the numbers go in as they are.
        schema = features.arrow_schema
        kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
        images = [{"bytes": sample_image(i), "path": None} for i in range(len(labels))]
        columns = [pa.array(images, kind), pa.array(labels, pa.int64())]
        folder.mkdir(exist_ok=True)
        table = pa.Table.from_arrays(columns, schema=schema)
        pq.write_table(table, folder / "train.parquet", row_group_size=7)

    return write


def file_called_set(content: bytes) -> Callable[[Path], Any]:
    """A file in the place of the folder."""

    def write(folder: Path) -> None:
        folder.rmdir()
        folder.write_bytes(content)

    return write


def hub(card: str = CARD, train: int = 8) -> Callable[[Path], Any]:
    """A data set of a hub that tells its columns, its classes and 8 training images."""

    def write(folder: Path) -> None:
        sample_parquet(folder, train=train, val=4)
        (folder / "README.md").write_text(card)

    return write


def late(image: bytes) -> Callable[[Path], Any]:
    return with_one(image, row=17, count=3_000)
