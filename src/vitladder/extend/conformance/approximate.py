"""Rules for kernels that are not softmax attention: rounding against themselves, convergence."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Any

import torch

from vitladder.extend.attention import AttentionKernel
from vitladder.extend.conformance.cases import Case
from vitladder.extend.conformance.finding import Finding
from vitladder.extend.conformance.inputs import Inputs
from vitladder.extend.conformance.numeric import ERROR_LIMIT
from vitladder.extend.conformance.probe import Probe
from vitladder.extend.conformance.reference import SINGLE
from vitladder.extend.conformance.rule import Rule

_TENSORS = ("q", "k", "v", "bias", "d_output", "d_lse")
_FEATURES = (32, 512)
_FALL = 0.7
"""With 16 times the features the error must be at most this part; a Monte Carlo error falls to
1/4 in the mean, but one draw scatters."""


def rounding(probe: Probe, case: Case) -> Iterator[Finding]:
    """Every result is what the kernel itself gives in float64, to 6 units of rounding."""
    run = probe.run(case)
    wide = probe.execute(replace(case, dtype="float64"), _in_float64(run.inputs), case.needs)
    exact, reach = probe.exact(case), _reach(case, run.inputs)
    for name, result in run.results.items():
        if result.numel():
            # Its own terms are unknown: softmax attention's largest stand in for them, and the
            # largest logit that there could be for the largest there is.
            roundoff = SINGLE if name == "lse" else torch.finfo(result.dtype).eps / 2
            unit = float(exact[name].unit.max()) * (1 + SINGLE * reach / (roundoff + 4 * SINGLE))
            difference = float((result.double() - wide[name].double()).abs().max())
            yield from probe.within("rounding", case, difference / unit, ERROR_LIMIT, name)


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
    """With more features the error to exact attention falls."""
    inputs = probe.run(case).inputs
    # Small logits: the estimate's variance grows exponentially with them.
    inputs = replace(inputs, q=inputs.q * 0.4, k=inputs.k * 0.4)
    exact = probe.closed_form(case, inputs)["o"].value
    errors = []
    for features in _FEATURES:
        kernel: Any = replace(probe.kernel, features=features)  # type: ignore[type-var]
        results = Probe(kernel, probe.device).execute(case, inputs, backward=False)
        errors.append(float((results["o"].cpu().double() - exact).square().mean().sqrt()))
    yield from probe.within("converges", case, errors[1] / errors[0], _FALL, "error's ratio")


def finite(probe: Probe, case: Case) -> Iterator[Finding]:
    """No result is NaN or infinite, but the log-sum-exp of a row that sees nothing."""
    for name, result in probe.run(case).results.items():
        bad = result.isnan() if name == "lse" else ~torch.isfinite(result)
        if bool(bad.any()):
            yield Finding("finite", str(case), f"{name} has NaN or infinities", "finite")


def _inexact(kernel: AttentionKernel) -> bool:
    return not kernel.exact


def _has_features(kernel: AttentionKernel) -> bool:
    names = {field.name for field in fields(kernel)}  # type: ignore[arg-type]
    return not kernel.exact and "features" in names


RULES = [
    Rule("finite", finite, "every", applies=_inexact),
    Rule("rounding", rounding, "every", calls=1, applies=_inexact),
    Rule("converges", converges, "features", calls=2, applies=_has_features),
]
