"""Rules on the size, the spread and the sign of rounding errors, against the closed form."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from vitladder.extend.conformance.cases import Case
from vitladder.extend.conformance.finding import Finding
from vitladder.extend.conformance.probe import Probe
from vitladder.extend.conformance.reference import Exact
from vitladder.extend.conformance.rule import Judge, Rule, exact_only

ERROR_LIMIT = 6.0
"""Largest error of an element, in conditioned units."""
RMS_LIMIT = 1.8
"""Root of the mean squared error, over that of one rounding of the exact result to its dtype.

A kernel that keeps P and dS in 16 bits as a tensor core needs them rounds once more: sqrt(2)."""
SIGNED_LIMIT = 0.15
"""Mean error away from 0, in halves of an ulp of the result; truncation gives -1."""
RESULTS = ("o", "lse", "dq", "dk", "dv", "dbias")


def _error_of(name: str) -> Judge:
    def judge(probe: Probe, case: Case) -> Iterator[Finding]:
        results, exact = probe.run(case).results, probe.exact(case)
        if name not in exact or (name == "lse" and not case.lse):
            return
        if name == "dbias" and not case.bias_grad:
            return
        if name not in results:
            yield Finding(f"error_{name}", str(case), "there is no gradient", "there")
            return
        yield from probe.within(
            f"error_{name}", case, worst_units(results[name], exact[name]), ERROR_LIMIT
        )

    judge.__doc__ = f"The error of {name} is at most {ERROR_LIMIT:g} conditioned units."
    return judge


def worst_units(result: Tensor, exact: Exact) -> float:
    """Return max |x - ref| / unit; infinite where either is not a number or a shape differs."""
    if result.shape != exact.value.shape:
        return math.inf
    if not result.numel():
        return 0.0
    difference = (result.cpu().double() - exact.value).abs() / exact.unit
    # Infinities of one sign agree: the log-sum-exp of a row that sees nothing.
    difference = difference.masked_fill(result.cpu().double() == exact.value, 0.0)
    return float(difference.nan_to_num(nan=math.inf).max())


def difference_units(
    left: Tensor, right: Tensor, exact: Exact, part: tuple[int, ...] = ()
) -> float:
    """Return max |left - right| in units; what is equal, infinity too, differs by 0."""
    left, right = left.detach().cpu().double(), right.detach().cpu().double()
    if not left.numel():
        return 0.0
    difference = ((left - right).abs() / exact.unit[part]).masked_fill(left == right, 0.0)
    return float(difference.nan_to_num(nan=math.inf).max())


def rms(probe: Probe, case: Case) -> Iterator[Finding]:
    """The RMS error of a 16-bit result is at most 1.8 times that of one ideal rounding."""
    for name, result, value in _rounded(probe, case, 256):
        ideal = (value.to(result.dtype).double() - value).square().mean().sqrt()
        error = (result.double() - value).square().mean().sqrt()
        yield from probe.within("rms", case, float(error / ideal), RMS_LIMIT, name)


def signed(probe: Probe, case: Case) -> Iterator[Finding]:
    """The mean error towards or away from 0 is at most 0.15 halves of an ulp."""
    for name, result, value in _rounded(probe, case, 1000):
        info = torch.finfo(result.dtype)
        half_ulp = info.eps / 2 * value.abs().clamp_min(info.smallest_normal).log2().floor().exp2()
        away = (value.sign() * (result.double() - value)).sum() / half_ulp.sum()
        yield from probe.within("signed", case, abs(float(away)), SIGNED_LIMIT, name)


def _rounded(probe: Probe, case: Case, least: int) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Yield the 16-bit results of at least so many elements, and their exact values."""
    results, exact = probe.run(case).results, probe.exact(case)
    for name, reference in exact.items():
        result = results.get(name)
        if name != "lse" and result is not None and result.numel() >= least:
            yield name, result.cpu(), reference.value


def masked_rows(probe: Probe, case: Case) -> Iterator[Finding]:
    """A row with every key masked gives exactly 0 and -inf, and gradients of exactly 0."""
    results, lse = probe.run(case).results, probe.exact(case)["lse"].value
    blind = lse == -math.inf
    if not blind.any():
        return
    for name, want in (("o", 0.0), ("dq", 0.0), ("lse", -math.inf)):
        if name in results and not bool((results[name].cpu()[blind] == want).all()):
            yield Finding("masked_rows", str(case), f"{name} is something else", str(want))


RULES = [
    *(
        Rule(
            f"error_{name}",
            _error_of(name),
            "biased" if name == "dbias" else "every",
            applies=exact_only,
        )
        for name in RESULTS
    ),
    Rule("masked_rows", masked_rows, "every", applies=exact_only),
    Rule("rms", rms, "rounding", applies=exact_only),
    Rule("signed", signed, "rounding", applies=exact_only),
]
