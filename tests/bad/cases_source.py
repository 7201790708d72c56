"""Sources, splits, columns and labels that no run can train on, and what the command says."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
from bad_sets import (
    DATA,
    FOLDER,
    PARQUET,
    PLAN,
    SKIP,
    STREAMED,
    TRAIN,
    Case,
    all_of,
    class_labels,
    cut,
    file_called_set,
    folder_with_one,
    nothing,
    parquet,
)
from sample_data import (
    damage_column,
    sample_folder,
    sample_image,
    sample_images,
    write_parquet,
)

SOURCES = [
    # Nothing there, or something else
    Case(
        "a missing path",
        nothing,
        (*TRAIN, "data=parquet", "data.path=nowhere"),
        ("no such file or folder: nowhere", "a parquet file or a folder of them"),
    ),
    Case(
        "a missing path, planned",
        nothing,
        (*PLAN, "data=imagefolder", "data.path=nowhere"),
        ("no such file or folder: nowhere", "a folder with one folder of images per class"),
    ),
    Case(
        "a missing path, shown",
        nothing,
        ("data", "nowhere"),
        ("no such file or folder: nowhere", "SOURCE is digits, a parquet file"),
    ),
    Case(
        "an empty folder",
        nothing,
        (*TRAIN, *PARQUET),
        ("set holds no parquet files", "a parquet file or a folder of them"),
    ),
    Case(
        "an empty folder of images",
        nothing,
        (*TRAIN, *FOLDER),
        ("set holds no images in class folders", "one folder of images per class"),
    ),
    Case("an empty folder, shown", nothing, DATA, ("set holds no images in class folders",)),
    Case(
        "an empty file",
        file_called_set(b""),
        (*TRAIN, *PARQUET),
        ("set is not a readable parquet file", "write or copy it anew"),
    ),
    Case(
        "text called parquet",
        lambda folder: (folder / "train.parquet").write_text("hello" * 99),
        (*TRAIN, *PARQUET),
        ("train.parquet is not a readable parquet file",),
    ),
    Case(
        "half a parquet file",
        cut(0.5),
        (*TRAIN, *PARQUET),
        ("train.parquet is not a readable parquet file", "write or copy it anew"),
    ),
    Case(
        "all but the end of a parquet file",
        cut(0.99),
        (*TRAIN, *PARQUET),
        ("train.parquet is not a readable parquet file",),
    ),
    Case(
        "a folder called like a parquet file",
        lambda f: (f / "train.parquet").mkdir(),
        (*TRAIN, *PARQUET),
        ("set holds no parquet files",),
    ),
    Case(
        "a folder called like a parquet file, by itself",
        lambda folder: (folder / "train.parquet").mkdir(),
        (*TRAIN, "data=parquet", "data.path=set/train.parquet"),
        ("set/train.parquet holds no parquet files (*.parquet)",),
    ),
    Case(
        "a file in the place of a folder of images",
        file_called_set(b"x"),
        (*TRAIN, *FOLDER),
        ("set is a file", "one folder of images per class"),
    ),
    Case(
        "images without class folders",
        lambda f: (f / "a.png").write_bytes(sample_image(0)),
        (*TRAIN, *FOLDER),
        ("set holds no images in class folders",),
    ),
    Case(
        "a folder of images as parquet",
        folder_with_one(sample_image(0)),
        (*TRAIN, *PARQUET),
        ("set holds no parquet files",),
    ),
    # Too little of it
    Case(
        "a table without rows",
        lambda f: write_parquet(f / "train.parquet", [], pa.array([], pa.int64())),
        (*TRAIN, *PARQUET),
        ("set has no rows in its split 'train'", "data.train_split=..."),
    ),
    Case(
        "a held-out split without rows",
        all_of(
            parquet(), lambda f: write_parquet(f / "test.parquet", [], pa.array([], pa.int64()))
        ),
        (*TRAIN, *PARQUET),
        (
            "set has no rows in its split 'test'",
            "data.val_split=...",
        ),
    ),
    Case(
        "one class",
        parquet(labels=["cat"] * 20),
        (*TRAIN, *PARQUET),
        ("set has one class only ('cat')", "at least two"),
    ),
    Case(
        "one class in a folder",
        lambda f: sample_folder(f, {"": 6}, ["cat"]),
        (*TRAIN, *FOLDER),
        ("set has one class only ('cat')", "at least two"),
    ),
    Case(
        "one image",
        parquet(sample_images(1)),
        (*TRAIN, *PARQUET),
        ("one class only ('0')", "at least two"),
    ),
    Case(
        "one image of each class",
        parquet(sample_images(2)),
        (*TRAIN, *PARQUET),
        ("no class of the split 'train' has two images", "data.val_split=..."),
    ),
    Case(
        "nothing held out",
        parquet(),
        (*TRAIN, *PARQUET, "data.val_fraction=0"),
        ("set has no held-out split", "data.val_fraction=0 makes none", "between 0 and 1"),
    ),
    Case(
        "a stream without a held-out split",
        parquet(),
        (*TRAIN, *PARQUET, STREAMED),
        ("no held-out split", "a stream cannot be divided", "data.val_split=..."),
    ),
    Case(
        "a split that is not there",
        parquet(),
        (*TRAIN, *PARQUET, "data.val_split=tset"),
        ("no split in set called 'tset'", "(have: train)"),
    ),
    Case(
        "held-out images alone",
        lambda f: sample_folder(f, {"test": 8}, ["cat", "dog"]),
        (*TRAIN, *FOLDER),
        ("set has no training split (its folders: test)", "data.train_split"),
    ),
    # Columns and labels
    Case(
        "no column of labels",
        parquet(columns=("image", "id")),
        (*TRAIN, *PARQUET),
        ("train.parquet has no label column (columns: image, id)", "data.label_column=..."),
    ),
    Case(
        "no column of images",
        lambda folder: pq.write_table(
            pa.table({"a": ["x"], "label": [0]}), folder / "train.parquet"
        ),
        (*TRAIN, *PARQUET),
        ("train.parquet has no image column (columns: a, label)", "data.image_column=..."),
    ),
    Case(
        "a column that is not there",
        parquet(),
        (*TRAIN, *PARQUET, "data.label_column=klass"),
        ("train.parquet has no column 'klass'", "(columns: image, label)"),
    ),
    Case(
        "labels that are measures",
        parquet(labels=[0.5, 1.5] * 10),
        (*TRAIN, *PARQUET, "data.label_column=label"),
        ("train.parquet: column 'label' holds double, not classes", "data.label_column=..."),
    ),
    Case(
        "a row without a label",
        parquet(labels=[0, 1, None, 1] * 5),
        (*TRAIN, *PARQUET),
        ("train.parquet row 2 has no label; every row needs one",),
    ),
    Case(
        "a row without a label, skipped",
        parquet(labels=[0, 1, None, 1] * 5),
        (*TRAIN, *PARQUET, SKIP),
        ("train.parquet row 2 has no label; every row needs one",),
    ),
    Case(
        "a label out of range",
        class_labels([0, 1, 0, 1, 7, 1], ["cat", "dog"]),
        (*TRAIN, *PARQUET),
        ("train.parquet row 4 has label 7, outside the 2 classes",),
    ),
    Case(
        "a label below zero, planned",
        class_labels([0, 1, -1, 1], ["cat", "dog"]),
        (*PLAN, *PARQUET),
        ("train.parquet row 2 has label -1, outside the 2 classes",),
    ),
    Case(
        "numbers in one file and names in another",
        all_of(
            parquet(file="train-0.parquet"), parquet(labels=["a", "b"] * 10, file="train-1.parquet")
        ),
        (*TRAIN, *PARQUET),
        ("train-1.parquet has another type of label than train-0.parquet", "both as names"),
    ),
    Case(
        "a damaged column of labels",
        all_of(parquet(), lambda f: damage_column(f / "train.parquet", 1, 2)),
        (*TRAIN, *PARQUET),
        ("train.parquet is not a readable parquet file",),
    ),
]
