"""Examines an attention kernel: all rules that apply to it, the cheap ones first."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from vitladder.extend.attention import AttentionKernel
from vitladder.extend.conformance import (
    approximate,
    autocast,
    behaviour,
    model,
    numeric,
    structure,
)
from vitladder.extend.conformance.cases import Case
from vitladder.extend.conformance.design import Profile, design, offer_of
from vitladder.extend.conformance.finding import Finding, Report, excuse, stale
from vitladder.extend.conformance.probe import Probe
from vitladder.extend.conformance.rule import Rule
from vitladder.extend.conformance.threads import one_thread

RULES: tuple[Rule, ...] = (
    *behaviour.FORM,
    *numeric.RULES,
    *approximate.RULES,
    *structure.RULES,
    *behaviour.MANNERS,
    *autocast.RULES,
    *model.RULES,
)


@dataclass(frozen=True)
class Check:
    """One rule in one case."""

    rule: Rule
    case: Case

    @property
    def cost(self) -> float:
        """Roughly how long it takes: forward passes of 64 x 64 scores."""
        return self.case.cost * (1 + self.rule.calls)


def check_attention(
    kernel: AttentionKernel,
    *,
    profile: Profile = "fast",
    device: str = "cpu",
    rules: Sequence[str] | None = None,
    first: bool = False,
) -> list[Finding]:
    """Return what is found about a kernel: nothing, if it is right and names no exceptions.

    rules=None means all that apply; first=True stops at the first broken rule.
    """
    return examine_attention(
        kernel, profile=profile, device=device, rules=rules, first=first
    ).findings


@one_thread()
def examine_attention(
    kernel: AttentionKernel,
    *,
    profile: Profile = "fast",
    device: str = "cpu",
    rules: Sequence[str] | None = None,
    first: bool = False,
) -> Report:
    """Return the findings about a kernel, with the worst value of every measured rule."""
    started = time.perf_counter()
    probe = Probe(kernel, device)
    report = Report(type(kernel).__name__, worst=probe.worst)
    refusal = offer_of(kernel, device).refusal
    if refusal:
        report.findings = [Finding("supports", "", "", "", "skipped", refusal)]
        return report
    for check in checks(kernel, profile=profile, device=device, rules=rules):
        report.checks += 1
        report.findings += excuse(judge(probe, check), kernel.exceptions)
        if first and report.broken:
            break
    else:
        if rules is None:
            report.findings += stale(report.findings, kernel.exceptions)
    report.seconds = time.perf_counter() - started
    return report


def checks(
    kernel: AttentionKernel,
    *,
    profile: Profile = "fast",
    device: str = "cpu",
    rules: Sequence[str] | None = None,
) -> list[Check]:
    """Return every rule that applies, in each of its cases, from the cheapest to the costliest."""
    groups = design(kernel, device, profile)
    found = [
        Check(rule, case)
        for rule in RULES
        if rule.applies(kernel) and (rules is None or rule.name in rules)
        for case in groups[rule.cases]
    ]
    return sorted(found, key=lambda check: check.cost)


def judge(probe: Probe, check: Check) -> Iterator[Finding]:
    """Yield what a check finds; a kernel that raises has broken the rule."""
    try:
        yield from check.rule.judge(probe, check.case)
    except Exception as error:  # a kernel may raise anything at all
        words = f"raised {type(error).__name__}: {str(error).partition(chr(10))[0]}"
        yield Finding(check.rule.name, str(check.case), words, "a result")
