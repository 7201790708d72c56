"""`vitladder bench`: which measurement is asked for, and its text."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from vitladder.compose import compose_config


def bench(*, machine: bool, overhead: bool, data: str | None) -> str:
    """Return the text of the one measurement that was asked for."""
    if machine:
        return _machine()
    if overhead:
        return _overhead()
    return _data(str(data))


def _overhead() -> str:
    from vitladder.bench.between_runs import measure_between_runs
    from vitladder.bench.overhead import measure_overhead

    between = [measure_between_runs(logger) for logger in ("csv", "wandb")]
    return "\n".join(str(measured) for measured in (measure_overhead(), *between))


def _machine() -> str:
    from vitladder.bench.machine import describe, keep, measure_machine, with_costs

    profile = with_costs(measure_machine())
    keep(profile)
    return describe(profile)


def _data(path: str) -> str:
    from vitladder.bench.images import compare, format_benchmark

    data = replace(compose_config(["data=parquet", "data.path=SOURCE"]).data, path=path)
    with tempfile.TemporaryDirectory() as folder:
        return format_benchmark(compare(data, Path(folder)))


def bench_parallel(settings: Sequence[str]) -> str:
    """Return how far the layouts of devices are from one device, and what they send."""
    from vitladder.bench.parallel import compare_layouts, format_layouts

    with tempfile.TemporaryDirectory() as folder:
        return format_layouts(compare_layouts(settings, Path(folder)))
