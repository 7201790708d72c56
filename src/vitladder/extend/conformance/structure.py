"""Rules on what attention does not depend on: order, neighbours, the future, shifts, history."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from vitladder.extend.conformance.cases import Case
from vitladder.extend.conformance.finding import Finding
from vitladder.extend.conformance.inputs import make_inputs
from vitladder.extend.conformance.numeric import ERROR_LIMIT, difference_units
from vitladder.extend.conformance.probe import Probe
from vitladder.extend.conformance.rule import Rule, exact_only, sees_all


def repeatable(probe: Probe, case: Case) -> Iterator[Finding]:
    """The same call gives the same bits, also after a call of another size."""
    first = probe.run(case)
    other = replace(case, queries=case.queries + 3, keys=case.keys + 3, heads=1, placed=False)
    if not case.placed:
        probe.execute(other, make_inputs(other, probe.device, seed=1))
    again = probe.execute(case, first.inputs)
    for name, result in first.results.items():
        if not _same(result, again[name]):
            yield Finding("repeatable", str(case), f"{name} differs", "the same bits")


def independent(probe: Probe, case: Case) -> Iterator[Finding]:
    """A head of an image gives what it gave, with NaN in all other heads and images."""
    run, exact = probe.run(case), probe.exact(case)
    # The first and the last: what leaks from a neighbour may come from either side.
    for kept in ((0, 0), (-1, -1)):
        keep = torch.zeros(case.batch, case.heads, 1, 1, dtype=torch.bool, device=probe.device)
        keep[kept] = True
        changed = {
            name: getattr(run.inputs, name).masked_fill(~keep, math.nan)
            for name in ("q", "k", "v", "d_output")
        }
        results = probe.variant(case, run.inputs, **changed)
        for name, result in results.items():
            if name != "dbias":
                units = difference_units(run.results[name][kept], result[kept], exact[name], kept)
                yield from probe.within("independent", case, units, ERROR_LIMIT, name)


def equivariant(probe: Probe, case: Case) -> Iterator[Finding]:
    """Keys in another order change nothing; queries in another order move with their rows."""
    run, draw = probe.run(case), torch.Generator().manual_seed(2)
    inputs = run.inputs
    rows = torch.randperm(case.queries, generator=draw).to(probe.device)
    columns = torch.randperm(case.keys, generator=draw).to(probe.device)
    changed = {
        "q": inputs.q[:, :, rows],
        "d_output": inputs.d_output[:, :, rows],
        "d_lse": inputs.d_lse[:, :, rows],
        "k": inputs.k[:, :, columns],
        "v": inputs.v[:, :, columns],
    }
    if inputs.bias is not None:
        changed["bias"] = inputs.bias.expand(case.batch, case.heads, case.queries, case.keys)[
            :, :, rows
        ][..., columns]
    results = probe.variant(case, inputs, **changed)
    exact = probe.exact(case)
    for name, order in (("o", rows), ("lse", rows), ("dq", rows), ("dk", columns), ("dv", columns)):
        if name in results and name in run.results:
            moved = torch.empty_like(results[name])
            moved[:, :, order] = results[name]
            difference = difference_units(run.results[name], moved, exact[name])
            yield from probe.within("equivariant", case, difference, ERROR_LIMIT, name)


def shift_invariant(probe: Probe, case: Case) -> Iterator[Finding]:
    """A constant added to a row's scores changes its lse by it, and no output and gradient."""
    shifted = replace(case, bias="M1")
    if not probe.serves(shifted):
        return
    run = probe.run(case)
    # A small integer, exact in float16 and bfloat16 beside a bias of 0.
    bias = torch.full((case.queries, 1), 4.0, dtype=run.inputs.q.dtype, device=probe.device)
    inputs = replace(run.inputs, bias=bias)
    results, exact = probe.execute(shifted, inputs), probe.closed_form(shifted, inputs)
    for name, result in run.results.items():
        moved = result + 4.0 if name == "lse" else result
        difference = difference_units(moved, results[name], exact[name])
        yield from probe.within("shift_invariant", case, difference, ERROR_LIMIT, name)


def causality(probe: Probe, case: Case) -> Iterator[Finding]:
    """With causal, a query's result has the same bits whatever later keys are, bottom-right."""
    run, cut = probe.run(case), case.keys // 2
    if not case.causal or cut == 0:
        return
    early = max(0, cut - (case.keys - case.queries))
    changed = {name: getattr(run.inputs, name).clone() for name in "kv"}
    for tensor in changed.values():
        tensor[:, :, cut:] = -3.0 * tensor[:, :, cut:] + 1.0
    results = probe.variant(case, run.inputs, **changed)
    for name in ("o", "lse", "dq"):
        if name in results:
            before, after = run.results[name][:, :, :early], results[name][:, :, :early]
            if not _same(before, after):
                yield Finding("causality", str(case), f"{name} of earlier queries differs", "equal")


def _same(left: Tensor, right: Tensor) -> bool:
    """Return whether two tensors are equal, NaN like any other value."""
    return left.shape == right.shape and torch.equal(left.nan_to_num(), right.nan_to_num())


RULES = [
    Rule("repeatable", repeatable, "small", calls=2),
    Rule("independent", independent, "small", calls=2),
    Rule("causality", causality, "causal", calls=1),
    Rule("shift_invariant", shift_invariant, "plain", calls=1, applies=exact_only),
    Rule("equivariant", equivariant, "crossed", calls=1, applies=sees_all),
]
