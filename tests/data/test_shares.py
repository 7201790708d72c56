"""The processes of a run share every batch: together they have what one process would have."""

from __future__ import annotations

from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sample_data import HOW, PLAIN, data_config, sample_parquet
from torch.nn.functional import cross_entropy

from vitladder.config import AugmentConfig, DataConfig
from vitladder.data.cache import Prepared, prepare
from vitladder.data.loader import NOT_COUNTED, Batch, TrainLoader, ValLoader, train_loader
from vitladder.layout import share

CHANGES = {
    "plain": PLAIN,
    "crop and flip": AugmentConfig(crop=2, flip=True, randaugment=0, mixup=0.0, cutmix=0.0),
    "randaugment": AugmentConfig(crop=1, flip=True, randaugment=9, mixup=0.0, cutmix=0.0),
    "mixup": AugmentConfig(crop=2, flip=True, randaugment=0, mixup=0.4, cutmix=0.0),
    "cutmix": AugmentConfig(crop=0, flip=True, randaugment=0, mixup=0.0, cutmix=1.0),
}
BATCH, STEPS, HELD_OUT = 7, 6, 9  # 23 images to train on: no batch ends where an epoch does

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sample_parquet(tmp_path_factory.mktemp("data") / "set", train=23, val=HELD_OUT)


def settings(store: Path, kind: str, **changes: Any) -> DataConfig:
    return data_config("parquet", store, **{"batch_size": BATCH, **HOW[kind], **changes})


@cache
def opened(store: Path, kind: str) -> Prepared:
    folder = store.parent / "cache"
    return prepare(settings(store, kind), image_size=8, channels=3, folder=folder)


def training(store: Path, kind: str, augment: AugmentConfig, own: slice) -> TrainLoader:
    config = settings(store, kind, augment=augment)
    return train_loader(opened(store, kind), config, seed=3, steps=STEPS, classes=3, own=own)


def of_rank(rank: int, of: int) -> slice:
    return slice(*share(BATCH, rank, of))


def same(mine: Batch, theirs: Batch) -> bool:
    return all(torch.equal(one, other) for one, other in zip(mine, theirs, strict=True))


# Training batches


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("kind", HOW)
def test_the_shares_put_together_are_the_batches_of_one_process(
    kind: str, change: str, store: Path
) -> None:
    alone = list(training(store, kind, CHANGES[change], slice(None)))
    for of in range(1, BATCH + 1):
        ranks = [training(store, kind, CHANGES[change], of_rank(rank, of)) for rank in range(of)]
        for whole, *parts in zip(alone, *ranks, strict=True):
            images, labels = (torch.cat(values) for values in zip(*parts, strict=True))
            assert same((images, labels), whole)


@pytest.mark.parametrize("change", ["crop and flip", "mixup"])
@pytest.mark.parametrize("kind", HOW)
def test_a_share_is_no_larger_than_its_part_of_the_batch(
    kind: str, change: str, store: Path
) -> None:
    for of in range(1, BATCH + 1):
        for rank in range(of):
            own = of_rank(rank, of)
            images, labels = next(iter(training(store, kind, CHANGES[change], own)))
            assert len(images) == len(labels) == own.stop - own.start


def test_mixed_shares_have_soft_labels_with_images_of_other_shares(store: Path) -> None:
    """Mixing within shares alone would be another augmentation on every number of processes."""
    own = of_rank(6, 7)  # one image, which could be mixed with itself alone
    batches = training(store, "cached", CHANGES["mixup"], own)
    assert all(labels.dtype == torch.float32 for _, labels in batches)
    batches.position = 0
    assert any(int((labels > 0).sum()) > 1 for _, labels in batches)


@pytest.mark.parametrize("change", ["crop and flip", "mixup"])
@pytest.mark.parametrize("kind", HOW)
def test_a_share_goes_on_at_any_step_with_any_other_number_of_processes(
    kind: str, change: str, store: Path
) -> None:
    alone = list(training(store, kind, CHANGES[change], slice(None)))
    for start, of in ((1, 2), (3, 3), (5, 7)):
        own = of_rank(of - 1, of)
        resumed = training(store, kind, CHANGES[change], own)
        resumed.load_state_dict({"step": start})
        for (images, labels), mine in zip(alone[start:], resumed, strict=True):
            assert same(mine, (images[own], labels[own]))


# Validation batches


def held_out(store: Path, kind: str, size: int, of: int) -> list[list[Batch]]:
    """The batches of every rank."""
    config = settings(store, kind, val_batch_size=size)
    loaders = [ValLoader(opened(store, kind), config, rank, of) for rank in range(of)]
    batches = [list(loader) for loader in loaders]
    assert [len(loader) for loader in loaders] == [len(own) for own in batches]
    return batches


def counted(batches: list[Batch]) -> Counter[tuple[bytes, int]]:
    """Every image that counts, with its label."""
    return Counter(
        (image.numpy().tobytes(), int(label))
        for images, labels in batches
        for image, label in zip(images, labels, strict=True)
        if label >= 0
    )


@given(kind=st.sampled_from([*HOW]), size=st.integers(1, 12), of=st.integers(1, 12))
def test_every_held_out_image_counts_once_over_all_ranks(
    kind: str, size: int, of: int, store: Path
) -> None:
    [alone] = held_out(store, kind, size, 1)
    ranks = held_out(store, kind, size, of)
    assert sum(counted(alone).values()) == HELD_OUT
    assert sum(map(counted, ranks), Counter()) == counted(alone)


@given(size=st.integers(1, 12), of=st.integers(1, 12))
def test_ranks_keep_in_step_with_batches_that_are_never_empty(
    size: int, of: int, store: Path
) -> None:
    ranks = held_out(store, "cached", size, of)
    assert {len(own) for own in ranks} == {-(-HELD_OUT // size)}
    for batches in zip(*ranks, strict=True):
        sizes = [len(labels) for _, labels in batches]
        assert sizes == [len(images) for images, _ in batches]
        assert min(sizes) >= 1
        assert max(sizes) - min(sizes) <= 1


def test_an_image_that_keeps_a_rank_in_step_adds_nothing_to_the_loss(store: Path) -> None:
    # 9 images in batches of 4: the last has one, the first rank's.
    ranks = held_out(store, "cached", 4, 3)
    (last, label), *fillers = [own[-1] for own in ranks]
    assert label.tolist() == [2]
    for images, labels in fillers:
        assert torch.equal(images, last)
        assert labels.tolist() == [NOT_COUNTED]
        assert labels.dtype == torch.int64
        assert float(cross_entropy(torch.randn(1, 3), labels, reduction="sum")) == 0
