"""Batches are pure functions of (seed, step): any interruption, the same training."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sample_data import data_config, sample_folder, sample_parquet

from vitladder.config import AugmentConfig, DataConfig
from vitladder.data.cache import Prepared, prepare
from vitladder.data.images import Images, StreamedImages
from vitladder.data.loader import ValLoader, normalise, train_loader
from vitladder.data.order import Order
from vitladder.errors import UserError

EVERYTHING = AugmentConfig(crop=2, flip=True, randaugment=9, mixup=0.2, cutmix=1.0)
CROP_FLIP = AugmentConfig(crop=2, flip=True, randaugment=0, mixup=0.0, cutmix=0.0)
STORES = ["cached", "uncached", "streamed"]

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sample_parquet(tmp_path_factory.mktemp("data") / "set", train=23, val=9)


def opened(store: Path, kind: str, **changes: Any) -> tuple[Prepared, DataConfig]:
    how: dict[str, dict[str, Any]] = {
        "cached": {},
        "uncached": {"cache_gib": 1e-9},
        "streamed": {"streaming": True},
    }
    settings = {"batch_size": 5, "val_batch_size": 4, "augment": CROP_FLIP}
    config = data_config("parquet", store, **{**settings, **how[kind], **changes})
    return prepare(config, image_size=8, channels=3, folder=store.parent / "cache"), config


def same(a: tuple[torch.Tensor, ...], b: tuple[torch.Tensor, ...]) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


# Training batches


@pytest.mark.parametrize("kind", STORES)
def test_there_are_exactly_the_steps_asked_for(kind: str, store: Path) -> None:
    data, config = opened(store, kind)
    loader = train_loader(data, config, seed=0, steps=11, classes=3)
    batches = list(loader)
    assert len(loader) == len(batches) == 11
    for images, labels in batches:
        assert (images.dtype, images.shape) == (torch.float32, (5, 3, 8, 8))
        assert (labels.dtype, labels.shape) == (torch.int64, (5,))


def test_images_are_the_cached_ones_normalised(store: Path) -> None:
    plain = AugmentConfig(crop=0, flip=False, randaugment=0, mixup=0.0, cutmix=0.0)
    data, config = opened(store, "cached", augment=plain)
    assert isinstance(data.train, Images)
    loader = train_loader(data, config, seed=4, steps=3, classes=3)
    for step, (images, labels) in enumerate(loader):
        visits = Order(23, 5, 4).visits(step)
        mean, std = data.mean[:, None, None], data.std[:, None, None]
        expected = (data.train.pixels[visits.indices] / 255 - mean) / std
        assert np.allclose(images.numpy(), expected, atol=1e-5)
        assert np.array_equal(labels.numpy(), data.train.labels[visits.indices])


def test_the_training_pixels_have_mean_zero_and_deviation_one(store: Path) -> None:
    data, _ = opened(store, "cached")
    assert isinstance(data.train, Images)
    images = normalise(data.train.gather(np.arange(23)), data.mean, data.std)
    assert torch.allclose(images.mean(dim=(0, 2, 3)), torch.zeros(3), atol=1e-5)
    assert torch.allclose(images.std(dim=(0, 2, 3), unbiased=False), torch.ones(3), atol=1e-5)


@pytest.mark.parametrize("augment", [CROP_FLIP, EVERYTHING], ids=["crop and flip", "everything"])
def test_cached_and_uncached_images_make_the_same_batches(
    augment: AugmentConfig, store: Path
) -> None:
    cached, config = opened(store, "cached", augment=augment)
    uncached, _ = opened(store, "uncached")
    assert cached.mean.tolist() == uncached.mean.tolist()
    one = train_loader(cached, config, seed=3, steps=9, classes=3)
    other = train_loader(uncached, config, seed=3, steps=9, classes=3)
    assert all(same(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("kind", STORES)
@pytest.mark.parametrize("augment", [CROP_FLIP, EVERYTHING], ids=["crop and flip", "everything"])
def test_resuming_at_any_step_equals_going_on(
    kind: str, augment: AugmentConfig, store: Path
) -> None:
    data, config = opened(store, kind, augment=augment)
    steps = 7  # of 5 images each: two more than an epoch of 23 has
    whole = list(train_loader(data, config, seed=5, steps=steps, classes=3))
    for start in range(steps):
        resumed = train_loader(data, config, seed=5, steps=steps, classes=3)
        resumed.load_state_dict({"step": start})
        torch.manual_seed(start)
        rest = list(resumed)
        assert len(rest) == steps - start
        assert all(same(a, b) for a, b in zip(whole[start:], rest, strict=True))


@pytest.mark.parametrize("kind", STORES)
def test_the_state_counts_the_batches_handed_out(kind: str, store: Path) -> None:
    loader = train_loader(*opened(store, kind), seed=0, steps=8, classes=3)
    assert loader.state_dict()["step"] == 0
    taken = list(islice(loader, 3))
    assert loader.state_dict()["step"] == 3
    taken += list(loader)
    assert loader.state_dict()["step"] == 8
    again = list(train_loader(*opened(store, kind), seed=0, steps=8, classes=3))
    assert all(same(a, b) for a, b in zip(taken, again, strict=True))


@pytest.mark.parametrize("kind", STORES)
def test_a_position_set_while_iterating_is_followed(kind: str, store: Path) -> None:
    loader = train_loader(*opened(store, kind), seed=0, steps=8, classes=3)
    whole = list(loader)
    loader.position = 0
    batches = iter(loader)
    assert same(next(batches), whole[0])
    loader.position = 6
    assert same(next(batches), whole[6])
    loader.position = 2
    assert same(next(batches), whole[2])


def test_a_batch_larger_than_the_data_set_spans_epochs(store: Path) -> None:
    data, config = opened(store, "cached", batch_size=64)
    _, labels = next(iter(train_loader(data, config, seed=0, steps=1, classes=3)))
    assert isinstance(data.train, Images)
    counts = np.bincount(data.train.labels)
    assert (np.bincount(labels.numpy()) >= 2 * counts).all()


def test_seeds_give_other_batches(store: Path) -> None:
    data, config = opened(store, "cached")
    first, second = (
        next(iter(train_loader(data, config, seed=s, steps=1, classes=3))) for s in (0, 1)
    )
    assert not torch.equal(first[0], second[0])


def test_mixing_gives_soft_labels(store: Path) -> None:
    data, config = opened(store, "cached", augment=EVERYTHING)
    for images, labels in train_loader(data, config, seed=0, steps=6, classes=3):
        assert images.dtype == torch.float32
        assert (labels.dtype, labels.shape) == (torch.float32, (5, 3))
        assert torch.allclose(labels.sum(1), torch.ones(5))


def test_soft_labels_have_the_classes_of_the_model(store: Path) -> None:
    data, config = opened(store, "cached", augment=EVERYTHING)
    _, labels = next(iter(train_loader(data, config, seed=0, steps=1, classes=7)))
    assert labels.shape == (5, 7)
    assert labels[:, 3:].sum() == 0


def test_impossible_augmentation_is_refused_at_once(store: Path) -> None:
    data, config = opened(store, "cached", augment=AugmentConfig(8, True, 0, 0.0, 0.0))
    with pytest.raises(UserError, match=r"data\.augment\.crop=8"):
        train_loader(data, config, seed=0, steps=1, classes=3)


def test_an_error_in_the_prefetching_thread_arrives(tmp_path: Path) -> None:
    path = sample_folder(tmp_path / "set", {"train": 16, "val": 4}, ["a", "b"])
    config = data_config("imagefolder", path, batch_size=5, cache_gib=1e-9)
    data = prepare(config, image_size=8, channels=3, folder=tmp_path)
    (path / "train" / "a" / "008.png").unlink()
    with pytest.raises(UserError, match=r"train/a/008\.png: cannot be read"):
        list(train_loader(data, config, seed=0, steps=8, classes=3))


# Streams


def test_streams_come_in_stored_order_epoch_after_epoch(store: Path) -> None:
    data, config = opened(store, "streamed", augment=CROP_FLIP)
    cached, _ = opened(store, "cached")
    assert isinstance(cached.train, Images)
    labels = torch.cat(
        [labels for _, labels in train_loader(data, config, seed=0, steps=10, classes=3)]
    )
    assert labels.tolist() == np.tile(cached.train.labels, 3)[:50].tolist()


def test_each_epoch_of_a_stream_is_augmented_anew(store: Path) -> None:
    data, config = opened(store, "streamed", batch_size=23)
    first, second = (images for images, _ in train_loader(data, config, seed=0, steps=2, classes=3))
    assert not torch.equal(first, second)


def test_a_folder_streams_in_one_shuffled_order(tmp_path: Path) -> None:
    path = sample_folder(tmp_path / "set", {"train": 16, "val": 4}, ["a", "b"])
    config = data_config("imagefolder", path, batch_size=16, streaming=True)
    data = prepare(config, image_size=8, channels=3, folder=tmp_path)
    first, second = (labels for _, labels in train_loader(data, config, seed=0, steps=2, classes=3))
    assert torch.equal(first, second)
    assert first.tolist() != sorted(first.tolist())


def test_a_stream_that_ends_early_is_an_error(store: Path) -> None:
    data, _ = opened(store, "streamed")
    assert isinstance(data.train, StreamedImages)
    stream = data.train._stream
    short = replace(stream, count=stream.count + 1)
    images = StreamedImages(short, data.train._read)
    with pytest.raises(UserError, match="the stream ended after 23 images, of 24 claimed"):
        list(images.once(10))


# Validation batches


@pytest.mark.parametrize("kind", STORES)
def test_validation_is_the_whole_held_out_split_in_order(kind: str, store: Path) -> None:
    data, config = opened(store, kind)
    cached, _ = opened(store, "cached")
    assert isinstance(cached.val, Images)
    loader = ValLoader(data, config)
    for _ in range(2):
        batches = list(loader)
        assert [len(labels) for _, labels in batches] == [4, 4, 1]
        assert len(loader) == 3
        images = torch.cat([images for images, _ in batches])
        assert torch.equal(images, normalise(cached.val.gather(np.arange(9)), data.mean, data.std))
        assert torch.cat([labels for _, labels in batches]).tolist() == cached.val.labels.tolist()
