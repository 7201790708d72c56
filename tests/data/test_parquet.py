"""Rows of parquet files are read in order, and no others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from sample_data import damage_column, damaged_parquet, data_config, sample_images
from sample_data import write_parquet as write

from vitladder.data.catalog import read_catalog
from vitladder.data.faults import Unreadable


def test_each_row_of_a_damaged_page_of_images_is_named(tmp_path: Path) -> None:
    damaged_parquet(tmp_path / "train.parquet", "image")
    rows = read_catalog(data_config("parquet", tmp_path)).rows["train"]
    found = [fault for fault in rows.scan(np.arange(len(rows))) if isinstance(fault, Unreadable)]
    assert [fault.where for fault in found] == [f"train.parquet row {i}" for i in range(len(rows))]
    assert all("lies in a damaged row group (" in fault.reason for fault in found)


def test_rows_of_several_files_and_row_groups_come_in_order(tmp_path: Path) -> None:
    raws = sample_images(50)
    write(tmp_path / "train-0.parquet", raws[:23], [i % 2 for i in range(23)])
    write(tmp_path / "train-1.parquet", raws[23:], [i % 2 for i in range(27)])
    rows = read_catalog(data_config("parquet", tmp_path)).rows["train"]
    chosen = np.array([0, 1, 22, 23, 24, 49])
    assert list(rows.scan(chosen)) == [raws[i] for i in chosen]
    assert rows.where(22) == "train-0.parquet row 22"
    assert rows.where(23) == "train-1.parquet row 0"


def test_row_groups_without_wanted_rows_are_not_read(tmp_path: Path) -> None:
    file = write(tmp_path / "x.parquet", sample_images(20), [i % 2 for i in range(20)])
    damage_column(file, group=0, column=0)
    rows = read_catalog(data_config("parquet", tmp_path)).rows["train"]
    assert list(rows.scan(np.array([7, 19]))) == [sample_images(20)[i] for i in (7, 19)]


def test_a_path_that_is_no_text_keeps_no_image_from_being_read(tmp_path: Path) -> None:
    raws = sample_images(3)
    paths = pa.Array.from_buffers(
        pa.string(), 3, pa.array([b"a", b"\xff\xfe", b"c"], pa.binary()).buffers()
    )
    images = pa.StructArray.from_arrays([pa.array(raws, pa.binary()), paths], ["bytes", "path"])
    pq.write_table(pa.table({"image": images, "label": [0, 1, 0]}), tmp_path / "x.parquet")
    rows = read_catalog(data_config("parquet", tmp_path)).rows["train"]
    assert list(rows.scan(np.arange(3))) == raws


def test_a_row_without_an_image_is_named(tmp_path: Path) -> None:
    write(tmp_path / "x.parquet", [sample_images(1)[0], None], [0, 1])
    rows = read_catalog(data_config("parquet", tmp_path)).rows["train"]
    good, fault = rows.scan(np.arange(2))
    assert good == sample_images(1)[0]
    assert isinstance(fault, Unreadable)
    assert fault.told == "x.parquet row 1: holds no image"
