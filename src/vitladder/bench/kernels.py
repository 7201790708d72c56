"""Compiles the flash kernels for GPUs that are not here, and reads what the compiler made.

    python -m vitladder.bench.kernels [--subset] [--json]

Every launch is the plugin's own, on meta tensors of a packed qkv, so pointers and strides are
specialised as on a device; only the last step is a warm-up on a driver that has no GPU.
"""

# mypy: disable-error-code="import-untyped"
from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from importlib import import_module
from typing import Any

from vitladder.bench.kernel_jobs import HALVES, KERNELS, Job, all_jobs, subset

SHARED_MEMORY = {"sm_80": 99 << 10, "sm_90": 227 << 10, "sm_100": 227 << 10, "gfx942": 64 << 10}
"""Bytes a block may have. sm_80 itself has 163 KiB; 8.6, 8.9 and 12.0 share its tiles."""
BATCH, HEADS, TOKENS = 2, 6, 197
MATRIX_UNIT = re.compile(r"\b(?:HMMA|HGMMA|QGMMA|UTCHMMA|v_mfma\w*)")


@dataclass(frozen=True)
class Compiled:
    """What became of it: registers a thread, bytes and instructions of local memory, ..."""

    job: Job
    registers: int
    stack: int
    spills: int
    shared: int
    mma: int

    @property
    def faults(self) -> list[str]:
        """Return what keeps this kernel from its device, or wastes it."""
        limit = SHARED_MEMORY[self.job.target]
        found = {
            f"{self.spills} local loads and stores": self.spills > 0,
            f"{self.stack} bytes of stack": self.stack > 0,
            f"{self.shared} bytes of shared memory, of {limit}": self.shared > limit,
            "no matrix unit is used": self.mma == 0 and self._has_dots_of_halves,
        }
        return [fault for fault, present in found.items() if present]

    @property
    def _has_dots_of_halves(self) -> bool:
        return self.job.kernel in KERNELS and self.job.dtype in HALVES


def compile_apart(*, everything: bool) -> list[Compiled]:
    """Compile in another process, whose Triton does not interpret and keeps no cache."""
    command = [sys.executable, "-m", "vitladder.bench.kernels", "--json"]
    with tempfile.TemporaryDirectory() as cache:
        done = subprocess.run(  # noqa: S603 (our own module)
            [*command, *([] if everything else ["--subset"])],
            env=_environment(cache),
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        raise RuntimeError(f"compiling the kernels failed:\n{done.stderr}")
    return [Compiled(Job(**row.pop("job")), **row) for row in json.loads(done.stdout)]


def _environment(cache: str) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if key != "TRITON_INTERPRET"}
    return {**kept, "TRITON_ALWAYS_COMPILE": "1", "TRITON_CACHE_DIR": cache}


def compile_job(job: Job) -> Compiled:
    """Compile one kernel for its target and read the result."""
    from triton.runtime.driver import driver

    offline = import_module("vitladder.plugins.attention._flash_offline")
    driver.set_active(offline.Offline(offline.target_of(job.target)))
    recorder = offline.Recorder(job.target)
    _launch(job, recorder)
    binary = recorder.compiled[-1]
    read = _read_amd if job.target.startswith("gfx") else _read_nvidia
    return Compiled(job, shared=binary.metadata.shared, **read(binary))


def _launch(job: Job, recorder: Any) -> None:
    """Run one kernel of the plugin on packed qkv [B, N, 3, H, D] that has no memory."""
    import torch

    flash = import_module("vitladder.plugins.attention._flash_launch")
    q, k, v = _inputs(job)
    problem = flash.Problem(q, k, v, _bias(job), job.causal, job.head_dim**-0.5, recorder)
    out, lse = torch.empty_like(q), torch.empty(q.shape[:3], device="meta")
    above = flash.Upstream(out, lse, lse)
    {
        "forward": lambda: flash.forward(problem),
        "delta": lambda: flash.upstream(problem, out, lse, out, lse),
        "dkdv": lambda: flash.key_value_gradients(problem, above),
        "dq": lambda: flash.query_gradient(problem, above),
        "dbias": lambda: flash.bias_gradient(problem, above),
    }[job.kernel]()


def _inputs(job: Job) -> list[Any]:
    """Return q, k and v on the meta device; with `wide`, rows too far apart for 32 bits."""
    import torch

    dtype = getattr(torch, job.dtype)
    packed = (BATCH, TOKENS, 3, HEADS, job.head_dim)
    strides = list(torch.empty(packed, device="meta").stride())
    if job.wide:
        strides[:2] = TOKENS << 25, 1 << 25
    qkv = torch.empty_strided(packed, strides, dtype=dtype, device="meta")
    return list(qkv.permute(2, 0, 3, 1, 4).unbind(0))


def _bias(job: Job) -> Any:
    import torch

    sizes = {"1": 1, "H": HEADS, "M": TOKENS, "N": TOKENS}
    return torch.empty([sizes[x] for x in job.bias], device="meta") if job.bias else None


def _read_nvidia(binary: Any) -> dict[str, int]:
    from triton import knobs

    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(binary.asm["cubin"])
        file.flush()
        usage = _output(knobs.nvidia.cuobjdump.path, "-res-usage", file.name)
        code = _output(knobs.nvidia.nvdisasm.path, "-c", file.name)
    return {
        "registers": _number(r"REG:(\d+)", usage),
        "stack": _number(r"STACK:(\d+)", usage),
        "spills": len(re.findall(r"\b(?:STL|LDL)\b", code)),
        "mma": len(MATRIX_UNIT.findall(code)),
    }


def _read_amd(binary: Any) -> dict[str, int]:
    code = binary.asm["amdgcn"]
    return {
        "registers": _number(r"\.vgpr_count:\s*(\d+)", code),
        "stack": _number(r"\.private_segment_fixed_size:\s*(\d+)", code),
        "spills": _number(r"\.vgpr_spill_count:\s*(\d+)", code),
        "mma": len(MATRIX_UNIT.findall(code)),
    }


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout  # noqa: S603


def _number(pattern: str, text: str) -> int:
    found = re.search(pattern, text)
    if found is None:
        raise ValueError(f"the compiler's report has no {pattern}")
    return int(found[1])


def compile_all(jobs: Sequence[Job]) -> Iterator[Compiled]:
    """Compile two at a time, in the order given."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=spawn) as pool:
        yield from pool.map(compile_job, jobs)


def format_row(row: Compiled) -> str:
    """Return one line of the table."""
    job = row.job
    options = job.bias + " causal" * job.causal + " wide" * job.wide
    return (
        f"{job.kernel:8} {job.target:7} {job.dtype:9} {job.head_dim:8} {options:12}"
        f"{row.registers:9} {row.spills:6} {row.shared:8} {row.mma:5}  {'; '.join(row.faults)}"
    )


def main() -> int:
    """Print the table; the exit code is 1 where a kernel has a fault."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--subset", action="store_true", help="what the tests compile")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    rows = compile_all(subset() if options.subset else all_jobs())
    if options.json:
        print(json.dumps([asdict(row) for row in rows]))
        return 0
    print("kernel   target  dtype     head_dim options     registers spills   shared   mma  faults")
    done = []
    for row in rows:
        print(format_row(row), flush=True)
        done.append(row)
    faulty = sum(bool(row.faults) for row in done)
    registers = max(row.registers for row in done)
    print(f"{len(done)} kernels, {faulty} with faults, at most {registers} registers a thread")
    return int(faulty > 0)


if __name__ == "__main__":
    sys.exit(main())
