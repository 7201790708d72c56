"""Each sample's changes depend on (seed, epoch, index) alone, and are uniform."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sample_data import PLAIN
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from vitladder.config import AugmentConfig
from vitladder.data.augment import check, crop, crop_and_flip
from vitladder.data.mixing import mix, rand_augment
from vitladder.errors import UserError

CROP_FLIP = AugmentConfig(crop=2, flip=True, randaugment=0, mixup=0.0, cutmix=0.0)

pytestmark = pytest.mark.usefixtures("one_thread")


def pictures(count: int, size: int = 6, channels: int = 3) -> np.ndarray:
    shape = (count, channels, size, size)
    return np.random.default_rng(0).integers(1, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize("padding", [1, 2, 4])
@pytest.mark.parametrize("channels", [1, 3])
def test_each_crop_is_torchvisions_crop_of_the_padded_image(padding: int, channels: int) -> None:
    offsets = 2 * padding + 1
    rows, columns = (grid.ravel() for grid in np.mgrid[:offsets, :offsets])
    images = pictures(rows.size, channels=channels)
    found = crop(images, padding, rows, columns)
    for image, row, column, result in zip(images, rows, columns, found, strict=True):
        padded = functional.pad(torch.from_numpy(image), [padding], padding_mode="reflect")
        expected = functional.crop(padded, int(row), int(column), 6, 6)
        assert np.array_equal(result, expected.numpy())


def test_every_offset_and_flip_occurs_equally_often() -> None:
    size, padding, count = 6, 2, 50_000
    image = np.arange(1, size * size + 1, dtype=np.uint8).reshape(1, 1, size, size)
    indices = np.arange(count)
    many = np.repeat(image, count, axis=0)
    found = crop_and_flip(many, CROP_FLIP, 3, np.zeros(count, dtype=np.int64), indices)
    centres = found[:, 0, 2:4, 2:4].reshape(count, 4)
    kinds, counts = np.unique(centres, axis=0, return_counts=True)
    expected = 2 * (2 * padding + 1) ** 2
    assert len(kinds) == expected
    chi_square = ((counts - count / expected) ** 2 / (count / expected)).sum()
    assert chi_square < 85.4  # the 0.999 quantile with 49 degrees of freedom


def test_half_of_the_images_are_mirrored() -> None:
    count = 20_000
    many = np.repeat(np.arange(6, dtype=np.uint8).reshape(1, 1, 1, 6), count, axis=0)
    flip = AugmentConfig(crop=0, flip=True, randaugment=0, mixup=0.0, cutmix=0.0)
    found = crop_and_flip(many.copy(), flip, 0, np.ones(count, np.int64), np.arange(count))
    mirrored = (found[:, 0, 0, 0] == 5).sum()
    assert np.array_equal(np.unique(found, axis=0), np.stack([many[0], many[0, :, :, ::-1]]))
    assert abs(mirrored - count / 2) < 4 * np.sqrt(count / 4)


@given(st.permutations(range(12)), st.integers(0, 2**40), st.integers(0, 10**6))
def test_a_sample_is_changed_alike_in_any_batch(order: list[int], seed: int, epoch: int) -> None:
    images, indices, epochs = pictures(12), np.arange(12), np.full(12, epoch)
    together = crop_and_flip(images.copy(), CROP_FLIP, seed, epochs, indices)
    shuffled = crop_and_flip(images[order], CROP_FLIP, seed, epochs, indices[order])
    assert np.array_equal(shuffled, together[order])


def test_seeds_and_epochs_change_the_draws() -> None:
    images, indices = pictures(20), np.arange(20)
    results = {
        crop_and_flip(images.copy(), CROP_FLIP, seed, np.full(20, epoch), indices).tobytes()
        for seed in range(3)
        for epoch in range(3)
    }
    assert len(results) == 9


def test_without_augmentation_nothing_changes() -> None:
    images = pictures(4)
    same = crop_and_flip(images.copy(), PLAIN, 0, np.zeros(4, dtype=np.int64), np.arange(4))
    assert np.array_equal(same, images)


def test_impossible_augmentations_are_refused() -> None:
    with pytest.raises(UserError, match=r"data\.augment\.crop=8 .* images of 8 pixels"):
        check(AugmentConfig(8, False, 0, 0.0, 0.0), 8)
    with pytest.raises(UserError, match=r"randaugment=31 .* from 0 \(off\) to 30"):
        check(AugmentConfig(0, False, 31, 0.0, 0.0), 8)


@pytest.mark.parametrize("magnitude", [1, 30])
@pytest.mark.parametrize("channels", [1, 3])
def test_rand_augment_is_torchvisions_with_a_seed_per_sample(magnitude: int, channels: int) -> None:
    images, indices, epochs = pictures(12, channels=channels), np.arange(12), np.arange(12) % 2
    torch.manual_seed(11)
    expected_next = torch.rand(3)
    torch.manual_seed(11)
    together = rand_augment(images, magnitude, 5, epochs, indices)
    assert torch.equal(torch.rand(3), expected_next)  # torch's own draws go on undisturbed
    assert together.dtype == np.uint8
    assert together.shape == images.shape
    assert not np.array_equal(together, images)
    alone = rand_augment(images[7:8], magnitude, 5, epochs[7:8], indices[7:8])
    assert np.array_equal(alone[0], together[7])


def soft(images: torch.Tensor, mixup: float, cutmix: float, first: int) -> tuple[torch.Tensor, ...]:
    config = AugmentConfig(crop=0, flip=False, randaugment=0, mixup=mixup, cutmix=cutmix)
    return mix(images, torch.arange(4) % 3, config, 3, 7, first)


def test_mixup_mixes_images_and_labels_by_the_same_share() -> None:
    images = torch.randn(4, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    mixed, labels = soft(images, 0.8, 0.0, 128)
    assert labels.shape == (4, 3)
    assert torch.allclose(labels.sum(1), torch.ones(4))
    share = labels[1, 1]
    assert torch.allclose(mixed[1], share * images[1] + (1 - share) * images[0], atol=1e-6)


def test_cutmix_pastes_a_box_and_mixes_labels_by_its_area() -> None:
    images = torch.arange(4.0)[:, None, None, None].expand(4, 3, 6, 6).clone()
    mixed, labels = soft(images, 0.0, 1.0, 128)
    kept = (mixed[1, 0] == 1).float().mean()
    assert torch.allclose(labels[1, 1], kept)
    assert ((mixed[1] == 1) | (mixed[1] == 0)).all()


def test_a_batch_is_mixed_by_its_first_visit() -> None:
    images = torch.randn(4, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    state = torch.get_rng_state()
    first, again, other = (soft(images, 0.8, 0.0, visit)[0] for visit in (0, 0, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), state)


def test_with_both_each_batch_gets_one_of_them() -> None:
    images = torch.arange(4.0)[:, None, None, None].expand(4, 3, 6, 6).clone()
    cut = [
        bool(torch.isin(soft(images, 1.0, 1.0, visit)[0], torch.arange(4.0)).all())
        for visit in range(200)
    ]
    assert 70 < sum(cut) < 130


def test_torchvision_still_has_the_same_bins() -> None:
    assert v2.RandAugment().num_magnitude_bins == 31
