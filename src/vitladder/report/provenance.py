"""How a page was made: commands, versions, machines, commit, and what is counted how."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from vitladder.laws.study import excluded
from vitladder.runs.record import Record

FLOP_CONVENTION = (
    "C is training FLOPs: 3 × forward matmul FLOPs, no recomputation, one multiply-add counted as "
    "2. N is all parameters. D is images seen."
)
FIT_CONVENTION = (
    "The parametric law minimises Huber's loss (delta 0.001) of log measured - log predicted, "
    "summed over runs. Its optimum at a given C uses the study's own C/(N·D) (geometric mean)."
)
LAW_NAMES = {"parametric": "parametric", "isoflop": "IsoFLOP"}
RESAMPLING = (
    "Intervals are 2.5 and 97.5 percentiles over bootstrap draws (of runs; for IsoFLOP of the "
    "parabolas' residuals): {draws}."
)


def run_commands(records: Sequence[Record], command: str) -> list[str]:
    """The distinct commands that made the runs, then the one that made the page."""
    return [*_distinct(record.command for record in records), command]


def conventions(fit: Mapping[str, Any]) -> list[str]:
    """What the page's numbers count, and how its laws were fitted."""
    laws = fit.get("laws") or {}
    fitted = [
        (name, law["resamples"])
        for name, law in laws.items()
        if name in LAW_NAMES and law and law["resamples"]
    ]
    draws = ", ".join(
        f"{drawn['used']} of {drawn['drawn']} draws gave the {LAW_NAMES[name]} law"
        for name, drawn in fitted
    )
    fitting = [FIT_CONVENTION] if laws.get("parametric") else []
    return [FLOP_CONVENTION, *fitting, *([RESAMPLING.format(draws=draws)] if draws else [])]


def circumstances(records: Sequence[Record]) -> list[tuple[str, str]]:
    """Machine, versions and commit of the runs, and how many there are of each state."""
    environments = [record.environment for record in records]
    versions = _distinct(
        ", ".join(f"{name} {version}" for name, version in (env.get("versions") or {}).items())
        for env in environments
    )
    complete = sum(record.status == "complete" for record in records)
    others = [f"{count} {name}" for name, count in excluded(records).items() if count]
    return [
        ("Runs", ", ".join([f"{complete} complete", *others])),
        ("Machine", _joined(env.get("machine") for env in environments)),
        ("Device", _joined(env.get("device") for env in environments)),
        ("Precision", _joined(env.get("precision") for env in environments)),
        ("Versions", "; ".join(versions) or "not recorded"),
        ("Git commit", _joined(env.get("git_commit") for env in environments)),
    ]


def _distinct(values: Iterable[object]) -> list[str]:
    """The different values that say something, in the order in which they first appear."""
    return list(dict.fromkeys(str(value) for value in values if value))


def _joined(values: Iterable[object]) -> str:
    return "; ".join(_distinct(values)) or "not recorded"
