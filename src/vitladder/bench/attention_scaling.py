"""Attention kernels alone: time and memory of a forward and backward against the tokens."""

from __future__ import annotations

import csv
import io
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vitladder.compute.formats import FORMATS, MEASURED
from vitladder.extend import registry
from vitladder.extend.attention import AttentionKernel, AttentionSpec
from vitladder.train.allocation import peak_bytes

TOKENS = (65, 197, 1025, 4097)
ROUNDS = 3
WINDOW_SECONDS = 0.15


@dataclass(frozen=True)
class Point:
    """One kernel at one length: milliseconds of each round's fastest call, the most bytes held."""

    kernel: str
    precision: str
    tokens: int
    milliseconds: list[float]
    memory_bytes: int

    @property
    def fastest(self) -> float:
        """The fastest call of all rounds: other work on the machine can only slow one down."""
        return min(self.milliseconds)

    @property
    def median(self) -> float:
        """The median over rounds."""
        return statistics.median(self.milliseconds)


def measure_attention(
    names: Sequence[str],
    device: torch.device,
    *,
    heads: int,
    head_dim: int,
    tokens: Sequence[int] = TOKENS,
    rounds: int = ROUNDS,
) -> list[Point]:
    """Measure forward and backward of one image, all kernels in fp32 and bf16 in turn in a round.

    q, k and v are [1, heads, tokens, head_dim]; a kernel that cannot run here has no points.
    """
    points = []
    for seq in tokens:
        print(f"measuring attention over {seq} tokens", file=sys.stderr, flush=True)
        calls = {
            (name, precision): _call(kernel, precision, (1, heads, seq, head_dim), device)
            for name in names
            for precision in MEASURED
            if (kernel := _serving(name, precision, device, head_dim)) is not None
        }
        memory = {key: peak_bytes(call, held, device) for key, (call, held) in calls.items()}
        taken: dict[tuple[str, str], list[float]] = {key: [] for key in calls}
        for _ in range(rounds):
            for key, (call, _) in calls.items():
                taken[key].append(_milliseconds(call, device))
        points += [Point(*key, seq, taken[key], memory[key]) for key in calls]
    return points


def attention_csv(points: Sequence[Point]) -> str:
    """Return one line for each point."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    columns = ["kernel", "precision", "tokens", "fastest_ms", "median_ms", "slowest_ms"]
    writer.writerow([*columns, "memory_bytes"])
    for point in points:
        spread = (point.fastest, point.median, max(point.milliseconds))
        writer.writerow([point.kernel, point.precision, point.tokens, *spread, point.memory_bytes])
    return out.getvalue()


class _Call:
    """Forward and backward of one kernel on tensors of its own."""

    def __init__(self, kernel: AttentionKernel, held: Sequence[Tensor]) -> None:
        self.kernel = kernel
        self.held = held

    def __call__(self) -> None:
        q, k, v, upstream = self.held
        output = self.kernel(q, k, v)
        assert isinstance(output, Tensor)  # noqa: S101  # for the type checker
        torch.autograd.grad(output, (q, k, v), upstream)


def _call(
    kernel: AttentionKernel, precision: str, size: tuple[int, ...], device: torch.device
) -> tuple[_Call, Sequence[Tensor]]:
    dtype = getattr(torch, FORMATS[precision].dtype)
    held = [torch.randn(size, device=device, dtype=dtype) for _ in range(4)]
    for tensor in held[:3]:
        tensor.requires_grad_()
    call = _Call(kernel, held)
    call()
    return call, held


def _serving(
    name: str, precision: str, device: torch.device, head_dim: int
) -> AttentionKernel | None:
    kernel = registry.load("attention", name)
    spec = AttentionSpec(device=device.type, dtype=FORMATS[precision].dtype, head_dim=head_dim)
    return kernel if kernel.supports(spec) is None else None


def _milliseconds(call: _Call, device: torch.device) -> float:
    """Return the fastest call of a window."""
    end, fastest = time.perf_counter() + WINDOW_SECONDS, float("inf")
    while fastest == float("inf") or time.perf_counter() < end:
        began = time.perf_counter()
        call()
        if device.type != "cpu":
            getattr(torch, device.type).synchronize()
        fastest = min(fastest, time.perf_counter() - began)
    return 1000 * fastest
