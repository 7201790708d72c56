"""Every rule on the encodings that --position names: one test a rule."""

from __future__ import annotations

import pytest

from vitladder.extend import registry
from vitladder.extend.conformance.position import examine_position, rules


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make a test of every encoding and rule."""
    names = metafunc.config.getoption("--position")
    metafunc.parametrize(("position", "rule"), [(name, rule) for name in names for rule in rules()])


def test_rule(position: str, rule: str, request: pytest.FixtureRequest) -> None:
    """The rule holds on all grids; a known exception is an expected failure."""
    encoding = registry.load("position", position)
    device: str = request.config.getoption("--conformance-device")
    report = examine_position(encoding, device=device, only=[rule])
    skipped = [finding.reason for finding in report.findings if finding.status == "skipped"]
    if skipped:
        pytest.skip(skipped[0])
    if report.broken:
        pytest.fail("\n".join(str(finding) for finding in report.broken), pytrace=False)
    if report.findings:
        pytest.xfail(f"{rule}: {encoding.exceptions[rule]}")
