"""Every rule on the kernels that --attention names: one test a rule."""

from __future__ import annotations

from functools import lru_cache

import pytest

from vitladder.extend import registry
from vitladder.extend.conformance.attention import RULES, checks, judge
from vitladder.extend.conformance.design import Profile, offer_of
from vitladder.extend.conformance.finding import excuse
from vitladder.extend.conformance.probe import Probe
from vitladder.extend.conformance.threads import one_thread


@lru_cache(maxsize=4)
def _probe(name: str, device: str) -> Probe:
    return Probe(registry.load("attention", name), device)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make a test of every kernel and rule."""
    names = metafunc.config.getoption("--attention")
    pairs = [
        (name, rule.name)
        for name in names
        for rule in RULES
        if rule.applies(registry.load("attention", name))
    ]
    metafunc.parametrize(("attention", "rule"), pairs)


@one_thread()
def test_rule(attention: str, rule: str, request: pytest.FixtureRequest) -> None:
    """The rule holds, in all of its cases; a known exception is an expected failure."""
    device: str = request.config.getoption("--conformance-device")
    profile: Profile = request.config.getoption("--conformance")
    probe = _probe(attention, device)
    refusal = offer_of(probe.kernel, device).refusal
    if refusal:
        pytest.skip(refusal)
    todo = checks(probe.kernel, profile=profile, device=device, rules=[rule])
    if not todo:
        pytest.skip(f"the kernel serves no case of {rule}")
    found = [finding for check in todo for finding in judge(probe, check)]
    found = excuse(found, probe.kernel.exceptions)
    if any(finding.status == "broken" for finding in found):
        pytest.fail("\n".join(str(finding) for finding in found), pytrace=False)
    if found:
        pytest.xfail(f"{rule}: {probe.kernel.exceptions[rule]}")
    if rule in probe.kernel.exceptions:
        pytest.skip(f"stale exception, {rule} holds here: {probe.kernel.exceptions[rule]}")
