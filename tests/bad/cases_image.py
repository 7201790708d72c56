"""Images that cannot be read, too many of them, and what the command says of each."""

from __future__ import annotations

import os
from pathlib import Path

import hostile_images
from bad_sets import (
    CARD,
    DATA,
    FOLDER,
    HUB,
    PARQUET,
    PLAN,
    SKIP,
    STREAMED,
    TRAIN,
    UNCACHED,
    WHAT_TO_DO,
    Case,
    all_of,
    damaged_groups,
    folder_with,
    folder_with_one,
    hub,
    late,
    nothing,
    parquet,
    with_one,
)
from sample_data import (
    path_only_parquet,
    sample_parquet,
)

JPEG = hostile_images.half_a_jpeg()
BOMB = hostile_images.png_bomb()

IMAGES = [
    Case(
        "half a JPEG file",
        late(JPEG),
        (*TRAIN, *PARQUET),
        ("train.parquet row 17: not a readable image (", "truncated", WHAT_TO_DO),
    ),
    Case(
        "half a JPEG file, not cached",
        late(JPEG),
        (*TRAIN, *PARQUET, UNCACHED),
        ("train.parquet row 17: not a readable image (", "truncated", WHAT_TO_DO),
        leaves="outputs",
    ),
    Case(
        "half a JPEG file, streamed",
        late(JPEG),
        (*TRAIN, *PARQUET, STREAMED),
        ("train.parquet row 17: not a readable image (", "truncated", WHAT_TO_DO),
    ),
    Case(
        "half a JPEG file, shown",
        late(JPEG),
        DATA,
        ("train.parquet row 17: not a readable image (", "truncated", WHAT_TO_DO),
    ),
    Case(
        "half a JPEG file in a folder",
        folder_with_one(JPEG),
        (*TRAIN, *FOLDER),
        ("dog/003.png: not a readable image (", WHAT_TO_DO),
    ),
    Case(
        "a flipped bit",
        late(hostile_images.png_with_a_flipped_bit()),
        (*TRAIN, *PARQUET),
        ("train.parquet row 17: not a readable image (", WHAT_TO_DO),
    ),
    Case(
        "a file of no bytes",
        folder_with_one(b""),
        (*TRAIN, *FOLDER),
        ("dog/003.png: not a readable image (it has no bytes)", WHAT_TO_DO),
    ),
    Case(
        "a file of no bytes, planned",
        folder_with_one(b"", "dog/005.png"),
        (*PLAN, *FOLDER),
        ("dog/005.png: not a readable image (it has no bytes)", WHAT_TO_DO),
    ),
    Case(
        "text called png",
        folder_with_one(b"<svg/>"),
        (*TRAIN, *FOLDER),
        ("dog/003.png: not a readable image (cannot identify image file)", WHAT_TO_DO),
    ),
    Case(
        "a decompression bomb",
        with_one(BOMB),
        (*TRAIN, *PARQUET),
        ("train.parquet row 17: not a readable image (", "2500000000 pixels", WHAT_TO_DO),
    ),
    Case(
        "a decompression bomb, planned",
        with_one(BOMB),
        (*PLAN, *PARQUET),
        ("train.parquet row 17: not a readable image (", "2500000000 pixels", WHAT_TO_DO),
    ),
    Case(
        "a decompression bomb, shown",
        folder_with_one(BOMB),
        DATA,
        ("dog/003.png: not a readable image (", "2500000000 pixels", WHAT_TO_DO),
    ),
    Case(
        "a decompression bomb in a stream",
        late(BOMB),
        (*TRAIN, *PARQUET, STREAMED),
        ("train.parquet row 17: not a readable image (", "2500000000 pixels", WHAT_TO_DO),
    ),
    Case(
        "a smaller bomb",
        with_one(hostile_images.png_bomb(10_000)),
        (*TRAIN, *PARQUET),
        ("train.parquet row 17: not a readable image (10000 x 10000 exceeds", WHAT_TO_DO),
    ),
    Case(
        "floating-point values",
        with_one(hostile_images.floating_point()),
        (*TRAIN, *PARQUET),
        ("train.parquet row 17: mode F has no agreed range", "8-bit RGB", WHAT_TO_DO),
    ),
    Case(
        "a row without an image",
        with_one(None),
        (*TRAIN, *PARQUET),
        ("train.parquet row 17: holds no image", WHAT_TO_DO),
    ),
    Case(
        "paths in the place of images",
        lambda f: path_only_parquet(f / "train.parquet", 9),
        (*TRAIN, *PARQUET),
        ("train.parquet row", "holds the path", "a file's bytes", WHAT_TO_DO),
    ),
    Case(
        "a link to nowhere",
        folder_with(lambda file: file.symlink_to("gone")),
        (*TRAIN, *FOLDER),
        ("dog/odd.png: cannot be read (No such file or directory)", WHAT_TO_DO),
    ),
    Case(
        "a pipe in the place of a file",
        folder_with(os.mkfifo),
        (*TRAIN, *FOLDER),
        ("dog/odd.png: cannot be read (not a regular file)", WHAT_TO_DO),
    ),
    Case(
        "a damaged row group",
        damaged_groups([3]),
        (*TRAIN, *PARQUET),
        ("train.parquet row 21: lies in a damaged row group (", WHAT_TO_DO),
    ),
    Case(
        "a damaged row group, not cached",
        damaged_groups([3]),
        (*TRAIN, *PARQUET, UNCACHED),
        ("train.parquet row 21: lies in a damaged row group (", WHAT_TO_DO),
    ),
    Case(
        "a damaged row group, streamed",
        damaged_groups([3]),
        (*TRAIN, *PARQUET, STREAMED),
        ("train.parquet row 21: lies in a damaged row group (", WHAT_TO_DO),
    ),
]

ELSEWHERE = [
    # Skipping has its limits
    Case(
        "another word for skip",
        parquet(),
        (*TRAIN, *PARQUET, "data.on_error=ignore"),
        ("no data.on_error called 'ignore'", "(have: raise, skip)"),
    ),
    *(
        Case(
            f"too much to skip{named}",
            damaged_groups([3]),
            (*TRAIN, *PARQUET, SKIP, *how),
            ("of 60 training images cannot be read", "row 21", "1% at most", "mend the data set"),
        )
        for named, how in (("", ()), (", not cached", (UNCACHED,)), (", streamed", (STREAMED,)))
    ),
    Case(
        "no held-out image is readable",
        all_of(parquet(), parquet([b"x"], [0], file="test.parquet")),
        (*TRAIN, *PARQUET, SKIP),
        ("at least 1 of 1 held-out images cannot be read", "never all of them: mend the data set"),
    ),
    Case(
        "nothing is readable",
        parquet([b"no image"] * 20),
        (*TRAIN, *PARQUET, SKIP),
        ("training images cannot be read", "mend the data set"),
    ),
    # Hubs
    Case(
        "no data set of a hub",
        nothing,
        (*TRAIN, *HUB),
        ("data.path=set cannot be loaded by Hugging Face datasets",),
    ),
    Case(
        "a stream that tells no counts",
        lambda f: sample_parquet(f, train=8, val=4),
        (*TRAIN, *HUB, STREAMED),
        ("data.streaming=false",),
        leaves="cache",
    ),
    Case(
        "a label out of range in a stream",
        hub(CARD.replace(", '2': cow", "")),
        (*TRAIN, *HUB, STREAMED),
        ("set train row 2 has label 2, outside the 2 classes",),
        leaves="cache",
    ),
    # The cache
    Case(
        "a file in the place of the cache",
        all_of(parquet(), lambda f: Path("cache").write_text("")),
        (*TRAIN, *PARQUET, "data.cache=cache"),
        ("cannot write decoded images into cache", "data.cache=..."),
    ),
    Case(
        "digits as a stream",
        nothing,
        (*TRAIN, "data=digits", STREAMED),
        ("data=digits is in memory", "data.streaming=false"),
    ),
]
