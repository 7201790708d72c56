"""The kernels compile for GPUs that are not here: no spills, on matrix units, within memory."""

from __future__ import annotations

from itertools import product
from typing import Any, ClassVar

import pytest
from vitladder.plugins.attention._flash_tiles import TILES

from vitladder.bench.kernel_jobs import (
    FULL_BIAS,
    HALVES,
    HEAD_DIMS,
    KERNELS,
    NO_BIAS,
    SMALL_BIASES,
    TARGETS,
    Job,
    all_jobs,
    subset,
)
from vitladder.bench.kernels import Compiled, _launch, compile_apart


def test_make_kernels_covers_every_kernel_target_head_dim_dtype_and_bias() -> None:
    jobs = all_jobs()
    plain = {
        (job.kernel, job.target, job.head_dim, job.dtype, job.bias)
        for job in jobs
        if job.dtype in HALVES and job.bias in (NO_BIAS, FULL_BIAS) and job.kernel in KERNELS
    }
    assert len(plain) == len(TARGETS) * len(HEAD_DIMS) * 2 * (2 * len(KERNELS) - 1)
    assert {(j.kernel, j.target) for j in jobs if j.dtype == "float32"} == {
        (kernel, target) for kernel in (*KERNELS, "delta") for target in TARGETS
    }
    assert len(set(jobs)) == len(jobs)


def test_make_kernels_covers_every_sum_of_dbias_and_strides_of_64_bits() -> None:
    summed = {(j.target, j.head_dim, j.dtype, j.bias) for j in all_jobs() if j.kernel == "dbias"}
    assert summed >= set(product(TARGETS, HEAD_DIMS, HALVES, SMALL_BIASES))
    assert {(j.kernel, j.target) for j in all_jobs() if j.wide} == set(
        product((*KERNELS, "delta"), TARGETS)
    )


def test_the_subset_has_what_the_specification_asks_for() -> None:
    jobs = set(subset())
    biased = [
        (kernel, bias)
        for kernel, bias in product(KERNELS, (NO_BIAS, FULL_BIAS))
        if (kernel, bias) != ("dbias", NO_BIAS)
    ]
    for (kernel, bias), target, head_dim in product(biased, ("sm_80", "sm_90"), HEAD_DIMS):
        assert Job(kernel, target, "bfloat16", head_dim, bias) in jobs
    narrow = {(j.kernel, j.bias, j.target, j.dtype) for j in jobs if not j.wide}
    for (kernel, bias), target, dtype in product(biased, TARGETS, HALVES):
        assert (kernel, bias, target, dtype) in narrow
    for kernel, target in product(KERNELS, TARGETS):
        assert (kernel, FULL_BIAS, target, "float32") in narrow


@pytest.mark.parametrize(("wide", "bias"), [(False, "1111"), (True, FULL_BIAS)])
def test_a_job_launches_what_it_is_named_after(wide: bool, bias: str) -> None:
    class Constants:
        architecture = "sm_80"
        seen: ClassVar[list[dict[str, Any]]] = []

        def __call__(self, kernel: Any, programs: int, tile: Any, args: Any, meta: Any) -> None:
            self.seen.append(meta)

    recorder = Constants()
    _launch(Job("dbias", "sm_80", "bfloat16", 64, bias, wide=wide), recorder)
    meta = recorder.seen[-1]
    assert (meta["WIDE"], meta["SUM_M"], meta["SUM_N"]) == (wide, bias == "1111", bias == "1111")


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
    job = Job("dq", "sm_80", "bfloat16", 64, FULL_BIAS)
    figures = {"registers": 128, "stack": 0, "spills": 0, "shared": 48 << 10, "mma": 32} | change
    faults = Compiled(job, **figures).faults
    assert faults == [] if fault is None else fault in faults[0]


def test_delta_needs_no_matrix_unit() -> None:
    job = Job("delta", "sm_80", "bfloat16", 64, NO_BIAS)
    assert Compiled(job, registers=32, stack=0, spills=0, shared=0, mma=0).faults == []


@pytest.mark.slow
def test_no_kernel_spills_or_passes_the_memory_of_its_gpu() -> None:
    """A subset: on sm_80 and sm_90 in bfloat16 all of kernel x head_dim x bias, and see subset().

    What is left to `make kernels`: the other head_dims in float16, and on sm_100 and gfx942;
    float32 with head_dim 128; causal; biases of one row or column, and of one number except for
    dbias in bfloat16 with head_dim 128; delta besides head_dim 80 in bfloat16; strides of 64 bits
    besides sm_80 with head_dim 128.
    """
    rows = compile_apart(everything=False)
    assert [row.job for row in rows] == subset()
    assert {row.job: row.faults for row in rows if row.faults} == {}
