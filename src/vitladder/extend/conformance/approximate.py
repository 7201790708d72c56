"""Rules for kernels that are not softmax attention: rounding against themselves, convergence."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch

from vitladder.extend.attention import AttentionKernel
from vitladder.extend.conformance.cases import Case
from vitladder.extend.conformance.finding import Finding
from vitladder.extend.conformance.inputs import Inputs, make_inputs
from vitladder.extend.conformance.numeric import ERROR_LIMIT, worst_units
from vitladder.extend.conformance.probe import Probe
from vitladder.extend.conformance.reference import SINGLE, Exact
from vitladder.extend.conformance.rule import Rule

_TENSORS = ("q", "k", "v", "bias", "d_output", "d_lse")
_SEEDS = (0, 1, 2)
_FALL = 0.75
"""Refined twice, the mean error must be at most this part of what it was; with four times the
random features each, it falls to 1/4."""


def rounding(probe: Probe, case: Case) -> Iterator[Finding]:
    """Every result is what the kernel itself gives in float64, to 6 units of rounding."""
    run = probe.run(case)
    own = own_exact(probe, case, run.inputs)
    for name, result in run.results.items():
        units = worst_units(result, own[name])
        yield from probe.within("rounding", case, units, ERROR_LIMIT, name)


def own_exact(probe: Probe, case: Case, inputs: Inputs) -> dict[str, Exact]:
    """Return what the kernel itself gives for these inputs in float64, with units for q's dtype.

    Its own terms are unknown: softmax attention's largest stand in for them, and the largest logit
    that there could be for the largest there is.
    """
    wide = probe.execute(replace(case, dtype="float64"), _in_float64(inputs), case.needs)
    softmax, reach = probe.closed_form(case, inputs), _reach(case, inputs)
    own = {}
    for name, value in wide.items():
        roundoff = SINGLE if name == "lse" else torch.finfo(inputs.q.dtype).eps / 2
        unit = softmax[name].unit
        largest = unit.max() if unit.numel() else 0.0
        unit = torch.ones_like(unit) * largest * (1 + SINGLE * reach / (roundoff + 4 * SINGLE))
        own[name] = Exact(value.cpu().double(), unit)
    return own


def _reach(case: Case, inputs: Inputs) -> float:
    """Return max |q| max |k| scale, which no logit can pass."""
    scale = case.head_dim**-0.5 if case.scale is None else case.scale
    if not inputs.q.numel() or not inputs.k.numel():
        return 0.0
    longest = inputs.q.double().norm(dim=-1).max() * inputs.k.double().norm(dim=-1).max()
    return float(abs(scale) * longest)


def _in_float64(inputs: Inputs) -> Inputs:
    given = {name: getattr(inputs, name) for name in _TENSORS}
    wide = {name: tensor.double() for name, tensor in given.items() if tensor is not None}
    return replace(inputs, **wide)


def converges(probe: Probe, case: Case) -> Iterator[Finding]:
    """Refined twice, the kernel is nearer to exact attention, and near to it."""
    once = probe.kernel.refined()
    twice = None if once is None else once.refined()
    if twice is None:
        words = "an approximate kernel must say how it converges: refined()"
        yield Finding("converges", str(case), "refined() gives None", words)
        return
    first, last = (_error(Probe(kernel, probe.device), case) for kernel in (probe.kernel, twice))
    ratio = last / first if first else last
    yield from probe.within("converges", case, ratio, _FALL, "refined twice, the error's ratio")
    if not last < 1.0:
        words = f"refined twice, the relative error {last:.3g}"
        yield Finding("converges", str(case), words, "below 1")


def _error(probe: Probe, case: Case) -> float:
    """Return the RMS error of o to exact attention, over o's own RMS, in the mean of some draws."""
    errors = []
    for seed in _SEEDS:
        inputs = make_inputs(case, probe.device, seed)
        # Small logits: the variance of a random estimate grows exponentially with them.
        inputs = replace(inputs, q=inputs.q * 0.4, k=inputs.k * 0.4)
        exact = probe.closed_form(case, inputs)["o"].value
        output = probe.execute(case, inputs, backward=False)["o"].cpu().double()
        errors.append(float((output - exact).norm() / exact.norm()))
    return sum(errors) / len(errors)


def finite(probe: Probe, case: Case) -> Iterator[Finding]:
    """No result is NaN or infinite, but the log-sum-exp of a row that sees nothing."""
    for name, result in probe.run(case).results.items():
        bad = result.isnan() if name == "lse" else ~torch.isfinite(result)
        if bool(bad.any()):
            yield Finding("finite", str(case), f"{name} has NaN or infinities", "finite")


def _inexact(kernel: AttentionKernel) -> bool:
    return not kernel.exact


RULES = [
    Rule("finite", finite, "every", applies=_inexact),
    Rule("rounding", rounding, "every", calls=1, applies=_inexact),
    Rule("converges", converges, "converges", calls=5, applies=_inexact),
]
