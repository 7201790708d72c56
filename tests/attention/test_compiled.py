"""The kernels compile for GPUs that are not here: no spills, on matrix units, within memory."""

from __future__ import annotations

import pytest
from vitladder.plugins.attention._flash_tiles import TILES

from vitladder.bench.kernels import (
    HEAD_DIMS,
    KERNELS,
    TARGETS,
    Compiled,
    Job,
    all_jobs,
    compile_apart,
    subset,
)


def test_make_kernels_covers_every_kernel_target_head_dim_dtype_and_bias() -> None:
    halves = {
        (job.kernel, job.target, job.head_dim, job.dtype, job.bias)
        for job in all_jobs()
        if job.dtype != "float32"
    }
    assert len(halves) == len(TARGETS) * len(HEAD_DIMS) * 2 * (2 * len(KERNELS) - 1)
    assert {(j.kernel, j.target) for j in all_jobs() if j.dtype == "float32"} == {
        (kernel, target) for kernel in KERNELS for target in TARGETS
    }


def test_every_architecture_of_the_tile_table_is_compiled() -> None:
    assert set(TILES) == {*TARGETS, "interpreter"}


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({}, None),
        ({"spills": 2}, "2 local loads and stores"),
        ({"stack": 8}, "8 bytes of stack"),
        ({"shared": 100 << 10}, "of shared memory"),
        ({"mma": 0}, "no matrix unit"),
    ],
)
def test_a_fault_is_named(change: dict[str, int], fault: str | None) -> None:
    job = Job("dq", "sm_80", "bfloat16", 64, bias=True)
    figures = {"registers": 128, "stack": 0, "spills": 0, "shared": 48 << 10, "mma": 32} | change
    faults = Compiled(job, **figures).faults
    assert faults == [] if fault is None else fault in faults[0]


@pytest.mark.slow
def test_no_kernel_spills_or_passes_the_memory_of_its_gpu() -> None:
    """A subset: each kernel x target x head_dim once; `make kernels` compiles all of them."""
    rows = compile_apart(everything=False)
    assert [row.job for row in rows] == subset()
    assert {(row.job.kernel, row.job.target, row.job.head_dim) for row in rows} >= {
        (kernel, target, head_dim)
        for kernel in KERNELS
        for target in TARGETS
        for head_dim in HEAD_DIMS
    }
    assert {row.job: row.faults for row in rows if row.faults} == {}
