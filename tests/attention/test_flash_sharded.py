"""flash on two processes: batch, heads or a whole model sharded, they agree with one process."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from closed_form import Call, random_call
from torch import Tensor
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Replicate, Shard, distribute_tensor
from torch.nn.functional import cross_entropy
from vitladder.plugins.attention.flash import Flash

from vitladder.compose import compose_config
from vitladder.compute.plan import resolve
from vitladder.config import DataShape
from vitladder.train.model import PlacedTransformer, build_model

RANKS, BATCH = 2, 4
DATA = DataShape(train_images=100, val_images=10, image_size=8, channels=1, classes=10)
SETTINGS = ["model.width=32", "model.depth=2", "model.heads=2", "model.patch=4", "model.pool=token"]
SETTINGS += ["attention=flash", "position=relative_bias"]
CALLS = {
    "no bias": random_call((2, 2, 5, 7, 16), causal=True),
    "a bias for each image and head": random_call((2, 2, 5, 7, 16), bias=(2, 2, 5, 7)),
    "a bias for each head": random_call((2, 2, 5, 7, 16), bias=(1, 2, 5, 7)),
    "one bias": random_call((2, 2, 5, 7, 16), bias=(1, 1, 5, 7)),
}


def attend(call: Call, *leaves: Tensor) -> tuple[Tensor, ...]:
    """Return the output and the gradients; the log-sum-exp has one only where there is a bias."""
    bias = leaves[3] if leaves[3:] else None
    results = Flash()(*leaves[:3], bias=bias, causal=call.causal, return_lse=True)
    outputs = results if bias is not None else results[:1]
    upstream = [
        distribute_tensor(grad, out.device_mesh, out.placements)
        if isinstance(out, DTensor)
        else grad
        for out, grad in zip(outputs, (call.dout, call.dlse), strict=False)
    ]
    return (*outputs, *torch.autograd.grad(outputs, leaves, upstream))


def check_call(call: Call, dim: int) -> None:
    mesh = init_device_mesh("cpu", (RANKS,))
    leaves = [x for x in call[:4] if x is not None]
    whole = attend(call, *leaves)
    sharded = [
        distribute_tensor(x.detach(), mesh, [Shard(dim) if x.shape[dim] > 1 else Replicate()])
        for x in leaves
    ]
    results = attend(call, *(x.requires_grad_() for x in sharded))
    assert results[0].placements == (Shard(dim),)
    assert results[0].to_local().shape[dim] == 1
    for ours, expected in zip(results, whole, strict=True):
        torch.testing.assert_close(ours.full_tensor(), expected, rtol=1e-6, atol=1e-6)


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


def check_step(rank: int) -> None:
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


def work(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"file://{folder}/store", rank=rank, world_size=RANKS)
    for dim in (0, 1):
        for call in CALLS.values():
            check_call(call, dim)
    check_step(rank)
    # One that leaves while the other still speaks to it aborts.
    dist.barrier()
    dist.destroy_process_group()


@pytest.mark.slow
def test_batch_heads_or_a_whole_model_may_be_sharded_over_devices(tmp_path: Path) -> None:
    """The processes' start is the most of it, so that they check all of it in turn."""
    mp.spawn(work, (str(tmp_path),), nprocs=RANKS)
