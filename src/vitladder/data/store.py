"""Decoded pixels in a folder: written once, whole or not at all, and mapped into memory."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np

from vitladder.data.building import build
from vitladder.data.decoder import Decoder
from vitladder.data.digests import file_sha256
from vitladder.data.images import Images
from vitladder.data.reading import NOT_COUNTED, stand_ins
from vitladder.data.rows import WHOLE
from vitladder.data.skipped import Skipped, SkippedImages
from vitladder.data.sources import Part, Source
from vitladder.errors import UserError

_CHUNK: Final = 512


def build_store(
    place: Path,
    source: Source,
    decoder: Decoder,
    skipped: SkippedImages,
    about: Callable[[Images], dict[str, Any]],
) -> None:
    """Decode both parts into the folder `place`, with what `about` says of the training images.

    Images that cannot be read are counted in `skipped`: in the place of a training image stands
    the next one that can, a held-out one is not counted. Raises UserError where the folder cannot
    be written.
    """

    def write(folder: Path) -> None:
        _write_train(folder, source.train, decoder, skipped.train)
        _write_val(folder, source.val, decoder, skipped.val)
        told = about(_open_part(folder, "train"))
        sums = {
            file.name: file_sha256(file)
            for file in sorted(folder.iterdir())
            if file.stat().st_size <= WHOLE
        }
        text = json.dumps({**told, "skipped": skipped.state_dict(), "sha256": sums})
        (folder / "about.json").write_text(text)

    build(place, (len(source.train) + len(source.val)) * int(np.prod(decoder.shape)), write)


def open_store(place: Path) -> tuple[Images, Images, dict[str, Any]]:
    """Return training and held-out images and what was said about them.

    Raises UserError for a folder that is damaged: a file is cut short, or of up to 1 GiB and
    other than it was written. A larger one is not read through to see whether a bit has changed.
    """
    try:
        about = json.loads((place / "about.json").read_text())
        about["fingerprint"], about["classes"], about["notes"], about["mean"], about["std"]
        _check_sums(place, about.get("sha256", {}))
        return _open_part(place, "train"), _open_part(place, "val"), about
    except (OSError, ValueError, EOFError, KeyError, TypeError) as problem:
        raise UserError(
            f"the cache {place} is damaged ({type(problem).__name__}: {problem}); "
            f"delete that folder"
        ) from problem


def _check_sums(place: Path, sums: dict[str, str]) -> None:
    for name, known in sums.items():
        if file_sha256(place / name) != known:
            raise ValueError(f"{name} is not as it was written")


def _open_part(place: Path, name: str) -> Images:
    pixels = np.load(place / f"{name}.pixels.npy", mmap_mode="r")
    labels = np.load(place / f"{name}.labels.npy")
    if len(pixels) != len(labels):
        raise ValueError(f"{name} has {len(pixels)} images and {len(labels)} labels")
    return Images(pixels, labels)


def _write_train(folder: Path, part: Part, decoder: Decoder, skipped: Skipped) -> None:
    file = folder / "train.pixels.npy"
    unreadable = _write_pixels(file, part, decoder, skipped)
    images = stand_ins(len(part), unreadable)
    if unreadable:
        pixels = np.load(file, mmap_mode="r+")
        pixels[unreadable] = pixels[images[unreadable]]
        pixels.flush()
    np.save(folder / "train.labels.npy", part.labels[images])


def _write_val(folder: Path, part: Part, decoder: Decoder, skipped: Skipped) -> None:
    labels = part.labels.copy()
    labels[_write_pixels(folder / "val.pixels.npy", part, decoder, skipped)] = NOT_COUNTED
    np.save(folder / "val.labels.npy", labels)


def _write_pixels(file: Path, part: Part, decoder: Decoder, skipped: Skipped) -> list[int]:
    """Write all images in order, and return the numbers of those that are black.

    Not through a memory map: on a disk that fills meanwhile, that would kill the process.
    """
    unreadable: list[int] = []
    rows = part.scan(np.arange(len(part)))
    with file.open("wb") as opened:
        shape = (len(part), *decoder.shape)
        header = {"descr": "|u1", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(opened, header)
        while some := list(islice(rows, _CHUNK)):
            pixels, faults = decoder(some)
            for place, fault in faults.items():
                skipped.add(some[place].number, fault)
                unreadable.append(some[place].number)
            opened.write(pixels.data)
    return unreadable
