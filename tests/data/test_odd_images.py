"""What is unusual and no fault is trained on by the real command."""

from __future__ import annotations

import json
import os
from pathlib import Path

import forked
import hostile_images
import pytest
from PIL import Image
from sample_data import (
    image_bytes,
    prepared,
    random_pixels,
    sample_folder,
    sample_image,
    sample_images,
)
from sample_data import write_parquet as write

TRAIN = ["train", "model=micro-8", "compute.steps=2", "logger=csv", "threads=1", "data.path=set"]


def train(kind: str) -> dict[str, object]:
    """Train on the folder `set` and return the record."""
    done = forked.run(*TRAIN, f"data={kind}")
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    [record] = Path("outputs/default").glob("*/record.json")
    found: dict[str, object] = json.loads(record.read_text())
    assert found["status"] == "complete"
    return found


def test_images_of_every_kind_size_and_mode_train_together() -> None:
    sample_folder(Path("set"), {"": 12}, ["cat", "dog"])
    odd = {
        "sixteen.png": hostile_images.sixteen_bits(),
        "cmyk.jpg": hostile_images.cmyk(),
        "animated.gif": hostile_images.animated(),
        "a jpeg called.png": image_bytes(random_pixels(3), "JPEG"),
        "large.bmp": image_bytes(random_pixels(4, 40), "BMP"),
        "wide.webp": image_bytes(Image.fromarray(random_pixels(5, 30)[:9]), "WEBP"),
    }
    for name, content in odd.items():
        (Path("set/dog") / name).write_bytes(content)
    environment = train("imagefolder")["environment"]
    assert isinstance(environment, dict)
    assert environment["data_skipped"] == {"train": 0, "val": 0}


def test_names_that_are_no_text_train_and_are_told_in_letters() -> None:
    sample_folder(Path("set"), {"": 12}, ["cat", "dog"])
    folder = os.fsencode(Path("set").absolute()) + b"/vache\xe9"
    try:
        os.mkdir(folder)  # noqa: PTH102  # a name of bytes
    except OSError:
        pytest.skip("this file system takes no names that are not UTF-8")
    for number in range(4):
        with open(folder + b"/caf\xe9\n%d.png" % number, "wb") as file:  # noqa: PTH123
            file.write(sample_image(20 + number))
    train("imagefolder")
    shown = forked.run("data", "set")
    assert shown.returncode == 0, shown.stderr
    assert r"vache\xe9" in shown.stdout
    with open(folder + b"/caf\xe9\n1.png", "wb") as file:  # noqa: PTH123
        file.write(b"no image")
    done = forked.run(*TRAIN, "data=imagefolder")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert r"vache\xe9/caf\xe9\n1.png: not a readable image" in done.stderr


@pytest.mark.parametrize("labels", [["cat", "dog"] * 10, [True, False] * 10, [3, 7] * 10])
def test_labels_need_not_be_class_numbers(labels: list[object]) -> None:
    write(Path("set/train.parquet"), sample_images(20), labels)
    train("parquet")


def test_folders_called_like_parquet_files_are_read_as_spark_writes_them(tmp_path: Path) -> None:
    for split, count in (("train", 20), ("test", 6)):
        for part in range(2):
            file = tmp_path / "set" / f"{split}.parquet" / f"part-0000{part}.snappy.parquet"
            write(file, sample_images(count), [0, 1] * (count // 2))
    data = prepared("parquet", tmp_path / "set", tmp_path / "cache")
    assert (len(data.train), len(data.val)) == (40, 12)


def test_an_enormous_image_is_refused_without_memory_for_it() -> None:
    images = sample_images(20)
    images[17] = hostile_images.png_bomb()
    write(Path("set/train.parquet"), images, [0, 1] * 10)
    process = forked.start(
        [*TRAIN, "data=parquet"], Path("said").absolute(), before=forked_with_little_memory
    )
    process.join(60)
    assert process.exitcode == 2, Path("said.err").read_text()
    assert "train.parquet row 17: not a readable image (" in Path("said.err").read_text()
    assert "2500000000 pixels" in Path("said.err").read_text()


def forked_with_little_memory() -> None:
    """Let this process have 300 MiB more than it has: the image would take 7 GiB."""
    import resource

    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + 300 * 2**20,) * 2)


def test_broken_exif_is_no_line_on_the_screen() -> None:
    exif = b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x12\x01"
    images = [image_bytes(random_pixels(i), "JPEG", exif=exif) for i in range(20)]
    write(Path("set/train.parquet"), images, [0, 1] * 10)
    train("parquet")
