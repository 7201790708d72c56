"""flash on DTensors: two processes, batch or heads sharded, agree with one process."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from closed_form import Call, random_call
from torch import Tensor
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Replicate, Shard, distribute_tensor
from vitladder.plugins.attention.flash import Flash

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


def check(call: Call, dim: int) -> None:
    mesh = init_device_mesh("cpu", (2,))
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


def work(rank: int, folder: str) -> None:
    dist.init_process_group("gloo", f"file://{folder}/store", rank=rank, world_size=2)
    for dim in (0, 1):
        for call in CALLS.values():
            check(call, dim)
    # One that leaves while the other still speaks to it aborts.
    dist.barrier()
    dist.destroy_process_group()


@pytest.mark.slow
def test_batch_or_heads_may_be_sharded_over_devices(tmp_path: Path) -> None:
    mp.spawn(work, (str(tmp_path),), nprocs=2)
