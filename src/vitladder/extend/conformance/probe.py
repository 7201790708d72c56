"""Probe: calls one kernel in the cases of the rules, and keeps what it gave."""

from __future__ import annotations

import sys
import warnings
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from vitladder.extend.attention import AttentionKernel
from vitladder.extend.conformance.cases import Case
from vitladder.extend.conformance.finding import Finding
from vitladder.extend.conformance.guard import Guard, guarded
from vitladder.extend.conformance.inputs import Inputs, make_inputs
from vitladder.extend.conformance.reference import Exact, closed_form, visible_keys

_KEPT = 48
"""Runs that are kept for the rules that follow; the rules on one case stand together."""


@dataclass(frozen=True)
class Run:
    """What a kernel gave for one case: o, lse, dq, dk, dv, dbias by name, as it gave them."""

    inputs: Inputs
    results: dict[str, Tensor]
    touched: list[str]
    dead_canary: bool


@dataclass
class Probe:
    """A kernel under examination on a device."""

    kernel: AttentionKernel
    device: str = "cpu"
    worst: dict[tuple[str, str], float] = field(default_factory=dict)
    _runs: OrderedDict[Case, Run] = field(default_factory=OrderedDict)
    _exact: OrderedDict[Case, dict[str, Exact]] = field(default_factory=OrderedDict)

    def serves(self, case: Case) -> bool:
        """Return whether the kernel says that it supports the case."""
        return self.kernel.supports(case.spec(self.device)) is None

    def kernel_of(self, case: Case) -> AttentionKernel:
        """Return the kernel, placed on the case's grid."""
        shape = case.shape
        return self.kernel.placed(shape.grid, shape.prefix) if case.placed else self.kernel

    def run(self, case: Case) -> Run:
        """Return the kernel's results in a case, forward and backward, from its store if there."""
        if case not in self._runs:
            inputs = make_inputs(case, self.device)
            before = inputs.snapshot()
            with watched() as guard:
                results = self._execute(case, inputs, case.needs)
            self._runs[case] = Run(inputs, results, inputs.touched(before), guard.broken())
            while len(self._runs) > _KEPT:
                self._runs.popitem(last=False)
        return self._runs[case]

    def exact(self, case: Case) -> dict[str, Exact]:
        """Return the closed form of a case, with its units."""
        if case not in self._exact:
            self._exact[case] = self.closed_form(case, self.run(case).inputs)
            while len(self._exact) > _KEPT:
                self._exact.popitem(last=False)
        return self._exact[case]

    def closed_form(self, case: Case, inputs: Inputs) -> dict[str, Exact]:
        """Return the float64 closed form for these inputs."""
        sees = self.kernel_of(case).sees(case.queries, case.keys)
        return closed_form(
            inputs.q,
            inputs.k,
            inputs.v,
            inputs.bias,
            inputs.d_output,
            inputs.d_lse if case.lse else None,
            scale=case.head_dim**-0.5 if case.scale is None else case.scale,
            visible=visible_keys(case.queries, case.keys, case.causal, sees),
        )

    def execute(
        self,
        case: Case,
        inputs: Inputs,
        needs: tuple[str, ...] | None = None,
        *,
        backward: bool = True,
    ) -> dict[str, Tensor]:
        """Call the kernel; return o, lse and the gradients of the inputs that `needs` names."""
        with watched():
            return self._execute(
                case, inputs, case.needs if needs is None else needs, backward=backward
            )

    def _execute(
        self, case: Case, inputs: Inputs, needs: tuple[str, ...], *, backward: bool = True
    ) -> dict[str, Tensor]:
        leaves = self.leaves(inputs, needs)
        outputs = self.call(case, leaves)
        wanted = {name: leaf for name, leaf in leaves.items() if leaf.requires_grad}
        if backward and wanted:
            # The log-sum-exp does not depend on v.
            chosen = {"o": outputs["o"]} if set(wanted) == {"v"} else outputs
            outputs = outputs | gradients(chosen, wanted, inputs)
        return {name: tensor.detach() for name, tensor in outputs.items()}

    def leaves(self, inputs: Inputs, needs: tuple[str, ...]) -> dict[str, Tensor]:
        """Return q, k, v and bias as leaves in their strides; those named require a gradient."""
        given = {"q": inputs.q, "k": inputs.k, "v": inputs.v, "bias": inputs.bias}
        return {
            name: tensor.detach().requires_grad_(name in needs)
            for name, tensor in given.items()
            if tensor is not None
        }

    def call(self, case: Case, leaves: dict[str, Tensor]) -> dict[str, Tensor]:
        """Call the kernel as the contract says; return o and, where the case asks, lse."""
        options: dict[str, Any] = {"causal": case.causal, "scale": case.scale}
        q, k, v = (leaves[name] for name in "qkv")
        given = self.kernel_of(case)(
            q, k, v, bias=leaves.get("bias"), return_lse=case.lse, **options
        )
        if case.lse:
            output, lse = given
            return {"o": output, "lse": lse}
        if not isinstance(given, Tensor):
            raise TypeError(f"without return_lse it returned a {type(given).__name__}, no tensor")
        return {"o": given}

    def within(
        self, rule: str, case: Case, measured: float, limit: float, what: str = ""
    ) -> Iterator[Finding]:
        """Note what was measured; a finding if it is above the limit, or no number."""
        key = (rule, case.dtype)
        self.worst[key] = max(self.worst.get(key, 0.0), measured)
        if not measured <= limit:
            words = f"{what} {measured:.4g}" if what else measured
            yield Finding(rule, str(case), words, f"at most {limit:g}" if what else limit)

    def variant(self, case: Case, inputs: Inputs, **changed: Any) -> dict[str, Tensor]:
        """Call the kernel with some inputs replaced."""
        return self.execute(case, replace(inputs, **changed))


def gradients(
    outputs: dict[str, Tensor],
    leaves: dict[str, Tensor],
    inputs: Inputs,
    *,
    retain: bool = False,
) -> dict[str, Tensor]:
    """Return dq, dk, dv and dbias for the case's dO and dlse; a missing gradient is absent."""
    seeds = {"o": inputs.d_output, "lse": inputs.d_lse}
    found = torch.autograd.grad(
        list(outputs.values()),
        list(leaves.values()),
        [seeds[name] for name in outputs],
        retain_graph=retain,
        allow_unused=True,
    )
    pairs = zip(leaves, found, strict=True)
    return {f"d{name}": tensor for name, tensor in pairs if tensor is not None}


@contextmanager
def watched() -> Iterator[Guard]:
    """Guard what a kernel allocates, so that a wrong one spoils no memory of this process."""
    with interpreted(), guarded() as guard:
        yield guard


@contextmanager
def interpreted() -> Iterator[None]:
    """Have Triton's interpreter, where it runs the kernel, compute as a GPU would, faults shown."""
    with warnings.catch_warnings():
        # numpy warns of the NaN that the rules plant.
        warnings.simplefilter("ignore", RuntimeWarning)
        if "triton" not in sys.modules or not sys.modules["triton"].knobs.runtime.interpret:
            yield
            return
        from vitladder.extend import interpreter

        with interpreter.probe(poison=True, tf32=True):
            yield
