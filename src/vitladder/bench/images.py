"""Images per second into training: this loader against torchvision's ImageFolder, same data set."""

from __future__ import annotations

import io
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader
from torchvision import datasets, transforms

from vitladder.config import DataConfig
from vitladder.data.cache import Prepared, prepare
from vitladder.data.catalog import read_catalog
from vitladder.data.describe import describe
from vitladder.data.faults import Unreadable
from vitladder.data.images import Images
from vitladder.data.loader import Batch, TrainLoader, train_loader
from vitladder.data.order import evenly_spaced
from vitladder.data.pixels import Stored, header
from vitladder.data.sources import Part, read_source
from vitladder.errors import UserError


@dataclass(frozen=True)
class ImageBenchmark:
    """Images per second of each round, all loaders in turn within one round."""

    source: str
    images: int
    image_size: int
    channels: int
    batch_size: int
    vitladder: tuple[float, ...]
    image_folder: tuple[float, ...]
    image_folder_workers: tuple[float, ...]
    workers: int

    @property
    def ratios(self) -> tuple[float, ...]:
        """This loader over ImageFolder in the same process, round by round."""
        return _ratios(self.vitladder, self.image_folder)

    @property
    def ratios_workers(self) -> tuple[float, ...]:
        """This loader, in one process, over ImageFolder with worker processes, round by round."""
        return _ratios(self.vitladder, self.image_folder_workers)


def compare(
    config: DataConfig, folder: Path, *, images: int = 4_000, rounds: int = 5, workers: int = 2
) -> ImageBenchmark:
    """Measure both loaders on as many images of one training set, with the same crop and flip.

    ImageFolder reads evenly spaced ones as single files, with their stored bytes, from a temporary
    folder; this loader visits all in its usual order, in one thread, from its cache in `folder`,
    which is built before. Only crop and flip are compared. Raises UserError for a set that is not
    cached.
    """
    if config.augment.randaugment or config.augment.mixup or config.augment.cutmix:
        raise UserError(
            "only crop and flip are compared; set data.augment.randaugment, mixup and cutmix to 0"
        )
    shape = describe(config)
    prepared = prepare(config, image_size=shape.image_size, channels=shape.channels, folder=folder)
    if not isinstance(prepared.train, Images):
        raise UserError(
            "this loader reads decoded images from its cache; raise data.cache_gib until they fit, "
            "and leave data.streaming=false"
        )
    catalog = read_catalog(config)
    count = min(images, shape.train_images)
    steps = max(1, count // config.batch_size)
    ours = train_loader(prepared, config, seed=0, steps=steps, classes=shape.classes)
    with tempfile.TemporaryDirectory() as files, _one_thread():
        square = _write(read_source(catalog, config).train, count, Path(files), shape.image_size)
        alone = _folder_loader(Path(files), square, prepared, config, 0)
        helped = _folder_loader(Path(files), square, prepared, config, workers)
        speeds = [
            (_speed(_from_start(ours)), _speed(alone), _speed(helped)) for _ in range(rounds + 1)
        ][1:]  # the first round warms up: files into the page cache, workers started
    vitladder, image_folder, image_folder_workers = zip(*speeds, strict=True)
    return ImageBenchmark(
        source=catalog.where,
        images=count,
        image_size=shape.image_size,
        channels=shape.channels,
        batch_size=config.batch_size,
        vitladder=vitladder,
        image_folder=image_folder,
        image_folder_workers=image_folder_workers,
        workers=workers,
    )


def format_benchmark(result: ImageBenchmark) -> str:
    """Return the benchmark as a text table: medians, and the range over the rounds."""
    rows = [
        ("vitladder, one process", result.vitladder, None),
        ("ImageFolder, num_workers=0", result.image_folder, result.ratios),
        (
            f"ImageFolder, num_workers={result.workers}",
            result.image_folder_workers,
            result.ratios_workers,
        ),
    ]
    lines = [
        f"{result.source}: {result.images:,} images, {result.image_size} x {result.image_size} x "
        f"{result.channels}, batch {result.batch_size}, crop and flip per image, one thread, "
        f"{len(result.vitladder)} interleaved rounds",
        f"{'loader':<28}{'images/s':>10}{'min':>10}{'max':>10}   vitladder is faster by",
    ]
    for name, speeds, ratios in rows:
        numbers = (statistics.median(speeds), min(speeds), max(speeds))
        line = f"{name:<28}" + "".join(f"{number:>10,.0f}" for number in numbers)
        if ratios is not None:
            line += f"   {statistics.median(ratios):.1f}x ({min(ratios):.1f} to {max(ratios):.1f})"
        lines.append(line)
    return "\n".join(lines)


def _ratios(ours: tuple[float, ...], theirs: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(a / b for a, b in zip(ours, theirs, strict=True))


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _from_start(loader: TrainLoader) -> TrainLoader:
    loader.position = 0
    return loader


def _speed(loader: Iterable[Batch]) -> float:
    count = 0
    start = time.perf_counter()
    for images, _ in loader:
        count += len(images)
    return count / (time.perf_counter() - start)


def _write(part: Part, count: int, folder: Path, size: int) -> bool:
    """Write evenly spaced training images as folder/class/number.suffix.

    Returns whether all of them are size x size already.
    """
    chosen = evenly_spaced(len(part), count)
    for label in np.unique(part.labels[chosen]):
        (folder / f"{label:05d}").mkdir()
    square = True
    for number, row in enumerate(part.scan(chosen)):
        data, suffix = _file(row.raw)
        (folder / f"{row.label:05d}" / f"{number:07d}{suffix}").write_bytes(data)
        seen = header(row.raw, row.name)
        square = square and (seen.width, seen.height) == (size, size)
    return square


def _file(raw: Stored) -> tuple[bytes, str]:
    if isinstance(raw, Unreadable):
        raise raw
    if isinstance(raw, bytes):
        return raw, f".{Image.open(io.BytesIO(raw)).format}".lower()
    stream = io.BytesIO()
    Image.fromarray(raw).save(stream, "PNG")
    return stream.getvalue(), ".png"


def _folder_loader(
    files: Path, square: bool, prepared: Prepared, config: DataConfig, workers: int
) -> DataLoader[Batch]:
    """Return torchvision's usual pipeline, with no step that the images do not need."""
    size = prepared.image_size
    steps: list[Callable[..., object]] = []
    if not square:
        steps += [transforms.Resize(size), transforms.CenterCrop(size)]
    if config.augment.crop:
        steps.append(
            transforms.RandomCrop(size, padding=config.augment.crop, padding_mode="reflect")
        )
    if config.augment.flip:
        steps.append(transforms.RandomHorizontalFlip())
    steps.append(transforms.ToTensor())
    steps.append(transforms.Normalize(prepared.mean.tolist(), prepared.std.tolist()))
    open_file = _open_grey if prepared.channels == 1 else datasets.folder.default_loader
    return DataLoader(
        datasets.ImageFolder(str(files), transforms.Compose(steps), loader=open_file),
        batch_size=config.batch_size,
        shuffle=True,
        num_workers=workers,
        persistent_workers=workers > 0,
    )


def _open_grey(file: str) -> Image.Image:
    return Image.open(file).convert("L")
