"""`vitladder plugins check NAME`: the test kit on one plugin, for people."""

from __future__ import annotations

from typing import Any

import torch

from vitladder.errors import UserError, shown
from vitladder.extend import registry
from vitladder.extend.conformance import examine_attention, examine_position
from vitladder.extend.conformance.finding import Finding, Report

_SHOWN = 20
"""Findings that are printed; the first few of one fault say what the others do."""


def check(name: str, *, kind: str, thorough: bool, device: str, **options: Any) -> int:
    """Print what is found about a plugin; return 1 if a rule is broken that it does not name.

    3 means that nothing was checked: the plugin does not serve here. Raises UserError for a device
    that is not here.
    """
    _check_device(device)
    if kind == "position":
        report = examine_position(registry.load("position", name, **options), device=device)
    else:
        kernel = registry.load("attention", name, **options)
        profile = "thorough" if thorough else "fast"
        report = examine_attention(kernel, profile=profile, device=device)  # type: ignore[arg-type]
    print(describe(f"{kind}={name}", report, device))
    if report.broken:
        return 1
    if report.checks == 0:
        reasons = [finding.reason for finding in report.findings] or ["no rule has a case here"]
        print(f"nothing was checked: {reasons[0]}")
        return 3
    return 0


def _check_device(device: str) -> None:
    try:
        torch.zeros(1, device=device).tolist()
    except (RuntimeError, AssertionError) as error:
        why = str(error).partition(". ")[0].partition("\n")[0]
        raise UserError(
            f"--device {device} is not here ({shown(why)}); give cpu, or a device that torch sees"
        ) from error


def kind_of(name: str) -> str:
    """Return the kind of the only plugin with this name; UserError names the nearest one."""
    kinds = [kind for kind in registry.KINDS if name in registry.discover(kind)]
    if not kinds:
        registry.find("attention", name)
    return kinds[0]


def describe(title: str, report: Report, device: str) -> str:
    """Return the report in lines: findings, the worst measured values, a verdict."""
    lines = [f"  {finding}" for finding in _one_each(report.findings)]
    hidden = len(report.findings) - len(lines)
    lines += [f"  ... and {hidden} more"] * (hidden > 0)
    lines += [f"  worst {rule} {what}: {value:.3g}" for (rule, what), value in _worst(report)]
    verdict = f"{len(report.broken)} broken" if report.broken else "every rule holds"
    if report.findings and not report.broken:
        verdict = "skipped" if report.checks == 0 else "every rule holds but named exceptions"
    checks = f"{report.checks} checks on {device} in {report.seconds:.1f} s"
    return "\n".join([f"{title}: {verdict} ({checks})", *lines])


def _one_each(findings: list[Finding]) -> list[Finding]:
    """Return the broken rules first; of an exception that fires often, one finding."""
    firsts = {(f.rule, f.status): f for f in reversed(findings) if f.status != "broken"}
    broken = [finding for finding in findings if finding.status == "broken"]
    return [*broken[:_SHOWN], *firsts.values()]


def _worst(report: Report) -> list[tuple[tuple[str, str], float]]:
    return sorted((key, value) for key, value in report.worst.items() if value > 0)
