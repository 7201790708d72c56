"""The ways to compute one training step that differ in speed alone, and which may be tried next."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from vitladder.compute.kernels import with_kernel
from vitladder.config import Config
from vitladder.errors import UserError
from vitladder.train.compiler import compiler_missing
from vitladder.train.device import DTYPE
from vitladder.train.heap import allocator_missing
from vitladder.train.serving import check_plugins


@dataclass(frozen=True)
class Choice:
    """A kernel, a precision, compiled or not, images in a piece (None: all), and CPU threads.

    The kernel is written with the options that are not its defaults: "naive products=input". With
    `keep_memory` the process keeps the memory that a step frees.
    """

    attention: str
    precision: str
    compile: bool | str
    micro_batch: int | None
    threads: int
    keep_memory: bool = False

    def __str__(self) -> str:
        """The choice in words."""
        piece = f", micro-batch {self.micro_batch}" if self.micro_batch else ""
        compiled = ", compiled" if self.compile else ""
        kept = ", memory kept" if self.keep_memory else ""
        plural = "" if self.threads == 1 else "s"
        threads = f"{self.threads} thread{plural}"
        return f"{self.attention}, {self.precision}{compiled}{kept}{piece}, {threads}"


@dataclass(frozen=True)
class Step:
    """One change to a choice under its name in the ladder, or why it cannot be made here."""

    name: str
    choice: Choice | None
    reason: str | None = None


Kernels = Mapping[str, str | None]
"""Kernels by name: why one cannot serve, or None where it can."""


@dataclass(frozen=True)
class Here:
    """What may be varied on this machine for one model: see the functions below."""

    device: str
    threads: Sequence[int]
    batch_size: int
    kernels: Callable[[str], Kernels]
    """From a precision to the kernels in it."""


def asked(config: Config, threads: int) -> Choice:
    """Return the choice that a config asks for, on so many threads unless it says how many."""
    return Choice(
        attention=config.attention["name"],
        precision=config.precision.name,
        compile=config.compile,
        micro_batch=config.parallel.micro_batch,
        threads=config.threads or threads,
        keep_memory=config.keep_memory,
    )


def applied(config: Config, choice: Choice) -> Config:
    """Return the config with the choice in it; another kernel has its default options."""
    own = config.attention["name"] == choice.attention
    return replace(
        config if own else with_kernel(config, choice.attention),
        precision=replace(config.precision, name=choice.precision),
        compile=choice.compile,
        parallel=replace(config.parallel, micro_batch=choice.micro_batch),
        threads=choice.threads,
        keep_memory=choice.keep_memory,
    )


def serving(config: Config, device: str, names: Sequence[str], precision: str) -> Kernels:
    """Return for each kernel why it cannot serve the config in a precision, None where it can.

    Variants are for 16 bits, so that fp32 has none.
    """
    tried = [name for name in names if precision != "fp32" or " " not in name]
    return {name: _reason(config, device, name, precision) for name in tried}


def attention_steps(best: Choice, here: Here) -> list[Step]:
    """Return the other kernels, in the same precision."""
    found = here.kernels(best.precision).items()
    return [
        Step(name, None if reason else replace(best, attention=name), reason)
        for name, reason in found
        if name != best.attention
    ]


def precision_steps(best: Choice, here: Here) -> list[Step]:
    """Return bf16 with every kernel: which of them is faster changes with the precision."""
    if best.precision != "fp32":
        return []
    choices = [
        replace(best, precision="bf16", attention=name)
        for name, reason in here.kernels("bf16").items()
        if reason is None
    ]
    return [Step("bf16", choice) for choice in choices]


def compile_steps(best: Choice, here: Here) -> list[Step]:
    """Return compilation with every kernel: it speeds up those that are made of many operators."""
    if best.compile:
        return []
    missing = compiler_missing(here.device)
    if missing is not None:
        return [Step("compile", None, f"needs {missing}")]
    return [
        Step("compile", replace(best, compile=True, attention=name))
        for name, reason in here.kernels(best.precision).items()
        if reason is None
    ]


def memory_steps(best: Choice, here: Here) -> list[Step]:
    """Return the same step in memory that the process keeps."""
    if best.keep_memory:
        return []
    missing = allocator_missing(here.device)
    if missing is not None:
        return [Step("memory", None, f"needs {missing}")]
    return [Step("memory", replace(best, keep_memory=True))]


def micro_batch_steps(best: Choice, here: Here) -> list[Step]:
    """Return half of the images that a piece has now, where that divides the batch."""
    half, odd = divmod(best.micro_batch or here.batch_size, 2)
    if odd or half == 0 or here.batch_size % half:
        return [Step("micro-batch", None, f"a batch of {here.batch_size} has no smaller half")]
    return [Step("micro-batch", replace(best, micro_batch=half))]


def thread_steps(best: Choice, here: Here) -> list[Step]:
    """Return the other numbers of CPU threads; an accelerator computes on none of them."""
    if here.device != "cpu":
        return [Step("threads", None, f"the step is computed by {here.device}")]
    others = [count for count in here.threads if count != best.threads]
    if not others:
        return [Step("threads", None, f"threads={best.threads} is all that may be used")]
    return [Step("threads", replace(best, threads=count)) for count in others]


def _reason(config: Config, device: str, name: str, precision: str) -> str | None:
    own = name == config.attention["name"]
    try:
        check_plugins(config if own else with_kernel(config, name), device, DTYPE[precision])
    except UserError as error:
        return str(error).partition(": ")[2]
    return None
