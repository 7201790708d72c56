"""flash in a model that FSDP2 shards: two processes take the step that one would take."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Shard
from torch.nn.functional import cross_entropy

from vitladder.compose import compose_config
from vitladder.compute.plan import resolve
from vitladder.config import DataShape
from vitladder.train.model import PlacedTransformer, build_model

DATA = DataShape(train_images=100, val_images=10, image_size=8, channels=1, classes=10)
SETTINGS = ["model.width=32", "model.depth=2", "model.heads=2", "model.patch=4", "model.pool=token"]
SETTINGS += ["attention=flash", "position=relative_bias"]
RANKS, BATCH = 2, 4


def model_of_the_seed() -> PlacedTransformer:
    torch.manual_seed(0)
    model = build_model(resolve(compose_config(SETTINGS), DATA))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model


def images_and_labels() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(BATCH, 1, 8, 8, generator=generator)
    return images, torch.randint(10, (BATCH,), generator=generator)


def step(model: PlacedTransformer, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """Take a step, and return every gradient and every parameter after it."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    cross_entropy(model(images), labels).backward()
    optimizer.step()
    gradients = {f"{name}.grad": p.grad for name, p in model.named_parameters()}
    parameters = {name: p.detach() for name, p in model.named_parameters()}
    return {name: value for name, value in (gradients | parameters).items() if value is not None}


def shard(model: PlacedTransformer) -> PlacedTransformer:
    mesh = init_device_mesh("cpu", (RANKS,))
    for block in model.blocks:
        fully_shard(block, mesh=mesh)
    return fully_shard(model, mesh=mesh)


def work(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"file://{folder}/store", rank=rank, world_size=RANKS)
    images, labels = images_and_labels()
    expected = step(model_of_the_seed(), images, labels)
    own = slice(rank * BATCH // RANKS, (rank + 1) * BATCH // RANKS)
    sharded = step(shard(model_of_the_seed()), images[own], labels[own])
    assert set(sharded) == set(expected)
    assert "relative_bias.grad" in expected
    for name, value in expected.items():
        ours = sharded[name]
        assert isinstance(ours, DTensor), name
        assert ours.placements == (Shard(0),), name
        torch.testing.assert_close(ours.full_tensor(), value, rtol=1e-5, atol=1e-6, msg=name)
        assert bool(value.any()), name
    # One that leaves while the other still speaks to it aborts.
    dist.barrier()
    dist.destroy_process_group()


@pytest.mark.slow
def test_a_sharded_model_takes_the_step_of_a_whole_one(tmp_path: Path) -> None:
    mp.spawn(work, (str(tmp_path),), nprocs=RANKS)
