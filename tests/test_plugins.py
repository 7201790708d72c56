"""Every kernel and encoding of the package keeps the rules of the test kit."""

from __future__ import annotations

import pytest

from vitladder.extend import registry
from vitladder.extend.conformance import Report, examine_attention, examine_position


@pytest.mark.parametrize("name", sorted(registry.discover("attention")))
def test_a_kernel_keeps_every_rule_but_those_it_names(name: str) -> None:
    kernel = registry.load("attention", name)
    report = examine_attention(kernel)
    if name == "flex" and report.checks == 0:
        pytest.skip(report.findings[0].reason)
    _passes(report, set(kernel.exceptions))


@pytest.mark.parametrize("name", sorted(registry.discover("position")))
def test_an_encoding_keeps_every_rule_but_those_it_names(name: str) -> None:
    encoding = registry.load("position", name)
    _passes(examine_position(encoding), set(encoding.exceptions))


def _passes(report: Report, named: set[str]) -> None:
    assert report.broken == []
    assert report.checks > 0
    assert {finding.rule for finding in report.findings} == named
