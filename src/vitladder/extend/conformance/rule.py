"""Rule: a name, the cases it is judged in, and the small function that judges one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from vitladder.extend.attention import AttentionKernel
from vitladder.extend.conformance.cases import Case
from vitladder.extend.conformance.finding import Finding
from vitladder.extend.conformance.probe import Probe

Judge = Callable[[Probe, Case], Iterator[Finding]]


def _always(kernel: AttentionKernel) -> bool:
    del kernel
    return True


@dataclass(frozen=True)
class Rule:
    """One property of a right kernel; `cases` names a group of the design (see design.py).

    `calls` is how often judging a case calls the kernel anew, for ordering by cost; `applies`
    says for which kernels the rule holds at all.
    """

    name: str
    judge: Judge
    cases: str = "every"
    calls: int = 0
    applies: Callable[[AttentionKernel], bool] = _always

    @property
    def summary(self) -> str:
        """The first line of the judge's docstring."""
        return (self.judge.__doc__ or "").partition("\n")[0]


def exact_only(kernel: AttentionKernel) -> bool:
    """Hold kernels that compute softmax attention to the rule, not approximations of it."""
    return kernel.exact


def sees_all(kernel: AttentionKernel) -> bool:
    """Hold only kernels to the rule that have no places: every key is like every other."""
    return type(kernel).placed is AttentionKernel.placed


def exact_and_sees_all(kernel: AttentionKernel) -> bool:
    """Both of the above."""
    return exact_only(kernel) and sees_all(kernel)
