"""What a check found, and what a whole examination of a plugin says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

Status = Literal["broken", "exception", "stale", "skipped"]
"""A rule is broken; or it is, and the plugin says so by name; or the plugin says so and it is not;
or the plugin refuses to serve here."""


@dataclass(frozen=True)
class Finding:
    """A rule that does not hold in one case: what was measured, and the limit it is held to."""

    rule: str
    case: str
    measured: float | str
    limit: float | str
    status: Status = "broken"
    reason: str = ""

    def __str__(self) -> str:
        """Return one line for people."""
        if self.status in ("stale", "skipped"):
            return f"{self.status}: {self.rule}: {self.reason}".replace(": :", ":")
        measured = self.measured if isinstance(self.measured, str) else f"{self.measured:.3g}"
        limit = self.limit if isinstance(self.limit, str) else f"at most {self.limit:g}"
        known = f" (known exception: {self.reason})" if self.status == "exception" else ""
        return f"{self.rule} [{self.case}]: {measured}; must be {limit}{known}"


@dataclass
class Report:
    """Everything one examination found, and the worst value of every measured rule."""

    plugin: str
    findings: list[Finding] = field(default_factory=list)
    worst: dict[tuple[str, str], float] = field(default_factory=dict)
    checks: int = 0
    seconds: float = 0.0

    @property
    def broken(self) -> list[Finding]:
        """The findings that make the plugin fail."""
        return [finding for finding in self.findings if finding.status == "broken"]


def excuse(findings: Iterable[Finding], exceptions: Mapping[str, str]) -> list[Finding]:
    """Return the findings, with those of the plugin's named exceptions marked as known."""
    return [
        replace(finding, status="exception", reason=exceptions[finding.rule])
        if finding.status == "broken" and finding.rule in exceptions
        else finding
        for finding in findings
    ]


def stale(findings: Iterable[Finding], exceptions: Mapping[str, str]) -> list[Finding]:
    """Return a finding for every named exception that nothing needed."""
    fired = {finding.rule for finding in findings}
    return [
        Finding(rule, "", "holds", "", "stale", f"named as an exception, but it holds: {reason}")
        for rule, reason in exceptions.items()
        if rule not in fired
    ]
