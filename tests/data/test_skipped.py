"""With data.on_error=skip an unreadable image is left out, counted, and changes nothing else."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sample_data import (
    CARD,
    HOW,
    damage_column,
    data_config,
    prepared,
    sample_folder,
    sample_image,
    sample_parquet,
)
from sample_data import write_parquet as write

from vitladder.config import AugmentConfig
from vitladder.data.cache import Prepared
from vitladder.data.faults import Unreadable
from vitladder.data.images import Images
from vitladder.data.loader import Batch, TrainLoader, ValLoader, train_loader
from vitladder.data.reading import NOT_COUNTED, stand_ins
from vitladder.data.skipped import Skipped, SkippedImages
from vitladder.errors import UserError

COUNT, STEPS = 300, 12  # of 64 images each: two epochs and a half
STANDS_FOR = {17: 19, 18: 19, 299: 0}
"""Which image stands in the place of an unreadable one: the next, around the end."""
BAD_VAL = 2
EVERYTHING = AugmentConfig(crop=2, flip=True, randaugment=0, mixup=0.2, cutmix=1.0)
SKIP = {"on_error": "skip", "augment": EVERYTHING}

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set with three unreadable training images, one of which is absent, and a held-out one."""
    folder = tmp_path_factory.mktemp("damaged") / "set"
    images: list[bytes | None] = [sample_image(i) for i in range(COUNT)]
    images[17], images[18], images[299] = sample_image(17)[:60], b"", None
    write(folder / "train.parquet", images, [i % 6 for i in range(COUNT)])
    held_out = [sample_image(i) for i in range(9)]
    held_out[BAD_VAL] = b"no image"
    write(folder / "test.parquet", held_out, [i % 6 for i in range(9)])
    (folder / "README.md").write_text(card(COUNT, 9))
    return folder


@pytest.fixture(scope="module")
def mended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same set, with the images that shall stand in their places written there."""
    folder = tmp_path_factory.mktemp("mended") / "set"
    numbers = [STANDS_FOR.get(i, i) for i in range(COUNT)]
    write(folder / "train.parquet", [sample_image(i) for i in numbers], [i % 6 for i in numbers])
    write(folder / "test.parquet", [sample_image(i) for i in range(9)], [i % 6 for i in range(9)])
    (folder / "README.md").write_text(card(COUNT, 9))
    return folder


def card(train: int, test: int) -> str:
    """Return what a hub tells of a set of six classes."""
    names = "{'0': a, '1': b, '2': c, '3': d, '4': e, '5': f}"
    told = CARD.replace("{'0': ant, '1': bee, '2': cow}", names)
    told = told.replace("num_examples: 8", f"num_examples: {train}")
    return told.replace("num_examples: 4", f"num_examples: {test}")


def loader(data: Prepared, path: Path, **changes: Any) -> TrainLoader:
    config = data_config("parquet", path, **{**SKIP, **changes})
    return train_loader(data, config, seed=3, steps=STEPS, classes=6)


def same(one: Batch, other: Batch) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("kind", ["parquet", "hub"])
def test_batches_are_those_of_a_set_with_the_stand_ins(
    kind: str, how: str, damaged: Path, mended: Path, tmp_path: Path
) -> None:
    cache = str(tmp_path / "cache")
    one, other = (
        prepared(kind, path, tmp_path, cache=cache, **SKIP, **HOW[how])
        for path in (damaged, mended)
    )
    assert (one.mean.tolist(), one.std.tolist()) == (other.mean.tolist(), other.std.tolist())
    batches = list(zip(loader(one, damaged), loader(other, mended), strict=True))
    assert len(batches) == STEPS
    assert all(same(a, b) for a, b in batches)
    assert one.skipped.facts()["data_skipped"]["train"] == len(STANDS_FOR)
    assert other.skipped.facts()["data_skipped"] == {"train": 0, "val": 0}


@pytest.mark.parametrize("how", HOW)
def test_a_held_out_image_is_not_counted_and_the_others_are(
    how: str, damaged: Path, mended: Path, tmp_path: Path
) -> None:
    config = data_config("parquet", damaged, val_batch_size=4, on_error="skip")
    one, other = (
        prepared("parquet", path, tmp_path, val_batch_size=4, on_error="skip", **HOW[how])
        for path in (damaged, mended)
    )
    # On the grey of one set's mean and deviation, which the training images of both give.
    images, labels = (torch.cat(parts) for parts in zip(*ValLoader(one, config), strict=True))
    expected, classes = (torch.cat(p) for p in zip(*ValLoader(other, config), strict=True))
    counted = torch.arange(9) != BAD_VAL
    assert torch.equal(images[counted], expected[counted])
    assert torch.equal(labels[counted], classes[counted])
    assert labels[BAD_VAL] == NOT_COUNTED
    assert torch.isfinite(images).all()
    assert one.skipped.facts()["data_skipped"]["val"] == 1


@pytest.mark.parametrize("how", HOW)
def test_resuming_gives_the_same_batches_and_the_same_count(
    how: str, damaged: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vitladder.data.cache._SAMPLE", 1)
    data = prepared("parquet", damaged, tmp_path, **SKIP, **HOW[how])
    whole = loader(data, damaged)
    batches, states = [], [whole.state_dict()]
    for batch in whole:
        batches.append(batch)
        states.append(whole.state_dict())
    for step in (1, 4, 9):
        again = prepared("parquet", damaged, tmp_path, **SKIP, **HOW[how])
        resumed = loader(again, damaged)
        stored = io.BytesIO()
        torch.save(states[step], stored)
        stored.seek(0)
        resumed.load_state_dict(torch.load(stored, weights_only=True))
        rest = list(resumed)
        assert all(same(a, b) for a, b in zip(batches[step:], rest, strict=True))
        assert resumed.skipped.facts()["data_skipped"] == data.skipped.facts()["data_skipped"]


def test_an_image_seen_before_an_interruption_stays_counted(
    damaged: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vitladder.data.cache._SAMPLE", 1)
    data, again = (prepared("parquet", damaged, tmp_path, **SKIP, streaming=True) for _ in range(2))
    first = loader(data, damaged)
    first.batch(0)
    assert first.skipped.train.state_dict()["numbers"] == [17, 18]
    resumed = loader(again, damaged)
    resumed.load_state_dict({**first.state_dict(), "step": STEPS - 1})
    list(resumed)
    assert resumed.skipped.train.state_dict() == first.skipped.train.state_dict()


def test_a_folder_of_images_skips_as_parquet_does(tmp_path: Path) -> None:
    path = sample_folder(tmp_path / "set", {"train": 120, "val": 8}, ["a", "b"])
    (path / "train" / "a" / "004.png").write_bytes(sample_image(4)[:50])
    ways = [
        prepared("imagefolder", path, tmp_path / "cache", **SKIP, **how) for how in HOW.values()
    ]
    cached, uncached, streamed = ways
    assert isinstance(cached.train, Images)
    assert np.array_equal(cached.train.pixels, uncached.train.gather(np.arange(120)))
    assert np.array_equal(cached.train.pixels[2], cached.train.pixels[3])
    assert {data.mean.tobytes() for data in ways} == {cached.mean.tobytes()}
    pairs = {
        (bytes(x), int(y))
        for xs, ys in streamed.train.once(32)
        for x, y in zip(xs, ys, strict=True)
    }
    stored = zip(cached.train.pixels, cached.train.labels, strict=True)
    assert pairs == {(bytes(x), int(y)) for x, y in stored}
    for data in ways:
        [told] = data.skipped.facts()["data_skipped_first"]
        assert told.startswith("train/a/004.png: not a readable image (")


@pytest.mark.parametrize("how", HOW)
def test_a_damaged_row_group_of_a_large_set_is_skipped(how: str, tmp_path: Path) -> None:
    sample_parquet(tmp_path / "set", train=700, val=6)
    damage_column(tmp_path / "set" / "train.parquet", 3, 0)
    data = prepared("parquet", tmp_path / "set", tmp_path / "cache", **SKIP, **HOW[how])
    pixels = np.concatenate(list(data.train.sampled(700)))
    assert all(np.array_equal(pixels[row], pixels[28]) for row in range(21, 28))
    assert data.skipped.train.state_dict()["numbers"] == list(range(21, 28))


def test_a_cache_with_skipped_images_tells_of_them_again_and_is_not_for_raise(
    damaged: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first, again = (prepared("parquet", damaged, tmp_path, **SKIP) for _ in range(2))
    assert again.skipped.facts() == first.skipped.facts()
    assert again.skipped.facts()["data_skipped"] == {"train": 3, "val": 1}
    assert "at least 3 of 300 training images cannot be read: train.parquet row 17" in caplog.text
    with pytest.raises(Unreadable, match=r"^train\.parquet row 17: not a readable image"):
        prepared("parquet", damaged, tmp_path)


def test_a_cache_without_faults_is_the_same_for_both(mended: Path, tmp_path: Path) -> None:
    prepared("parquet", mended, tmp_path, **SKIP)
    prepared("parquet", mended, tmp_path)
    assert len(list(tmp_path.iterdir())) == 1


# The limits


@given(st.integers(2, 40), st.data())
def test_each_place_has_the_next_readable_image(count: int, data: st.DataObject) -> None:
    bad = data.draw(st.sets(st.integers(0, count - 1), max_size=count - 1))
    for place, image in enumerate(stand_ins(count, sorted(bad))):
        after = [(place + step) % count for step in range(count)]
        assert image == next(i for i in after if i not in bad)


def fault(number: int) -> Unreadable:
    return Unreadable(f"row {number}", "torn")


@pytest.mark.parametrize(("count", "most"), [(2, 1), (30, 1), (199, 1), (200, 2), (5_000, 50)])
def test_one_in_a_hundred_is_skipped_and_not_more(count: int, most: int) -> None:
    skipped = Skipped("training", count, "skip")
    for number in [*range(most), *range(most)]:
        skipped.add(number, fault(number))
    assert len(skipped) == most
    with pytest.raises(UserError, match=rf"^at least {most + 1} of .* row 0: torn; .* data set$"):
        skipped.add(most, fault(most))


def test_a_part_of_which_nothing_is_readable_is_an_error() -> None:
    with pytest.raises(UserError, match="at least 1 of 1 held-out images cannot be read"):
        Skipped("held-out", 1, "skip").add(0, fault(0))


def test_raise_refuses_the_first_one_wherever_it_was_found() -> None:
    skipped = Skipped("training", 1_000, "skip")
    skipped.add(7, fault(7))
    strict = Skipped("training", 1_000, "raise")
    with pytest.raises(Unreadable, match=r"^row 7: torn; mend"):
        strict.load_state_dict(skipped.state_dict())
    with pytest.raises(Unreadable, match=r"^row 9: torn; mend"):
        strict.add(9, fault(9))


def test_what_several_processes_found_is_counted_once() -> None:
    one, other = (SkippedImages.none_yet(1_000, 1_000, "skip") for _ in range(2))
    for number in (3, 5):
        one.train.add(number, fault(number))
    for number in (5, 8):
        other.train.add(number, fault(number))
    one.load_state_dict(other.state_dict())
    assert one.train.state_dict()["numbers"] == [3, 5, 8]
    assert one.facts()["data_skipped_first"] == ["row 3: torn", "row 5: torn", "row 8: torn"]


def test_only_a_few_are_named() -> None:
    skipped = Skipped("training", 10_000, "skip")
    for number in range(50):
        skipped.add(number, fault(number))
    state = skipped.state_dict()
    assert (len(state["numbers"]), len(state["first"]), len(skipped.first)) == (50, 5, 5)


def test_a_stream_shorter_than_claimed_is_an_error_whatever_is_skipped(
    damaged: Path, tmp_path: Path
) -> None:
    data = prepared("parquet", damaged, tmp_path, **SKIP, streaming=True)
    short = replace(data.train._stream, count=COUNT + 1)
    data = replace(data, train=type(data.train)(short, data.train._read))
    with pytest.raises(UserError, match="the stream ended after 300 images, of 301 claimed"):
        list(loader(data, damaged))
