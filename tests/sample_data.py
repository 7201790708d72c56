"""Small real data sets that tests write, and the configuration of each kind as conf/ gives it."""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from PIL import Image

from vitladder.config import AugmentConfig, DataConfig
from vitladder.data.cache import Prepared, prepare
from vitladder.data.catalog import read_catalog
from vitladder.data.sources import Source, read_source

CONF = Path(__file__).parents[1] / "conf" / "data"
PLAIN = AugmentConfig(crop=0, flip=False, randaugment=0, mixup=0.0, cutmix=0.0)
NO_CACHE = 1e-9
HOW: dict[str, dict[str, Any]] = {
    "cached": {},
    "uncached": {"cache_gib": NO_CACHE},
    "streamed": {"streaming": True},
}
CARD = """---
dataset_info:
  features:
  - name: image
    dtype: image
  - name: label
    dtype:
      class_label:
        names: {'0': ant, '1': bee, '2': cow}
  splits:
  - {name: train, num_examples: 8, num_bytes: 1}
  - {name: test, num_examples: 4, num_bytes: 1}
---
"""
"""The README.md of a data set on a hub: its columns, its classes, its counts."""


def data_config(name: str, path: Path | str | None = None, **changes: Any) -> DataConfig:
    """Return conf/data/NAME.yaml as a DataConfig, with a path and other changes."""
    fields = _fields(name)
    given = {"path": None if path is None else str(path), **changes}
    return DataConfig(**{**fields, "augment": AugmentConfig(**fields["augment"]), **given})


@cache
def _fields(name: str) -> dict[str, Any]:
    fields: dict[str, Any] = yaml.safe_load((CONF / f"{name}.yaml").read_text())
    return fields


def source(config: DataConfig) -> Source:
    """Return both parts of what lies at data.path, still encoded."""
    return read_source(read_catalog(config), config)


def prepared(name: str, path: Path | None, folder: Path, **changes: Any) -> Prepared:
    """Return data of 8 x 8 RGB images unless changed, cached in `folder`."""
    size = changes.pop("image_size", 8)
    channels = changes.pop("channels", 3)
    config = data_config(name, path, **changes)
    return prepare(config, image_size=size, channels=channels, folder=folder)


def caches(folder: Path) -> list[str]:
    """Return the names of all that lies in a folder of caches."""
    return sorted(file.name for file in folder.iterdir()) if folder.exists() else []


def random_pixels(number: int, size: int = 8) -> np.ndarray:
    """Return the n-th sample image, RGB [size, size, 3]."""
    return np.random.default_rng(number).integers(0, 256, (size, size, 3), dtype=np.uint8)


def image_bytes(pixels: np.ndarray | Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    """Return pixels as the bytes of an image file."""
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


@cache
def sample_image(number: int) -> bytes:
    """Return the n-th sample image as a PNG file."""
    return image_bytes(random_pixels(number))


def sample_images(count: int) -> list[bytes]:
    """Return the first sample images as PNG files."""
    return [sample_image(i) for i in range(count)]


def write_parquet(
    file: Path,
    images: Sequence[bytes | None],
    labels: Sequence[Any] | pa.Array,
    columns: tuple[str, str] = ("image", "label"),
    rows_per_group: int = 7,
) -> Path:
    """Write encoded images as struct<bytes, path> and labels, in small row groups."""
    file.parent.mkdir(parents=True, exist_ok=True)
    kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    stored = pa.array([{"bytes": image, "path": None} for image in images], kind)
    pq.write_table(
        pa.table({columns[0]: stored, columns[1]: labels}), file, row_group_size=rows_per_group
    )
    return file


def damage_column(file: Path, group: int, column: int) -> None:
    """Overwrite the stored pages of one column in one row group; the file's footer stays."""
    chunk = pq.read_metadata(file).row_group(group).column(column)
    start = chunk.dictionary_page_offset or chunk.data_page_offset
    with file.open("r+b") as stream:
        stream.seek(start)
        stream.write(b"\xff" * chunk.total_compressed_size)


def damaged_parquet(file: Path, column: str) -> Path:
    """Write a parquet file in which the pages of one of its two columns are damaged."""
    write_parquet(file, sample_images(6), [0, 1] * 3)
    names = [pq.read_metadata(file).schema.column(i).path for i in range(3)]
    damage_column(file, 0, next(i for i, name in enumerate(names) if name.startswith(column)))
    return file


def path_only_parquet(file: Path, count: int) -> Path:
    """Write a parquet file whose rows hold the paths of image files beside it, and no bytes."""
    for i in range(count):
        (file.parent / f"{i}.png").write_bytes(sample_image(i))
    kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    stored = pa.array([{"bytes": None, "path": f"{i}.png"} for i in range(count)], kind)
    pq.write_table(pa.table({"image": stored, "label": [i % 3 for i in range(count)]}), file)
    return file


def sample_parquet(folder: Path, train: int = 30, val: int = 0, classes: int = 3) -> Path:
    """Write train.parquet (and test.parquet) of random images; image i has class i % classes."""
    for name, first, count in (("train", 0, train), ("test", train, val)):
        if count:
            images = [sample_image(i) for i in range(first, first + count)]
            write_parquet(folder / f"{name}.parquet", images, [i % classes for i in range(count)])
    return folder


def sample_folder(folder: Path, splits: dict[str, int], classes: Sequence[str]) -> Path:
    """Write `count` images into folder/split/class/ (folder/class/ for the split "")."""
    for split, count in splits.items():
        for i in range(count):
            place = folder / split / classes[i % len(classes)]
            place.mkdir(parents=True, exist_ok=True)
            (place / f"{i:03d}.png").write_bytes(sample_image(i))
    return folder
