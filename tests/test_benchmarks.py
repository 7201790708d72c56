"""The benchmarks still run, at a small size: what they time is compared, not how long it takes."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest

from vitladder.laws.optimum import fit_law

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def imported(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def fitter(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = imported("fitter")
    monkeypatch.setattr(module, "SLOW_DRAWS", 3)
    return module


@pytest.mark.parametrize("way", ["_least_squares", "_bfgs"])
def test_the_slow_ways_never_end_below_ours(
    fitter: ModuleType, way: str, chinchilla_csv: Path
) -> None:
    optimum = fit_law(fitter.open_problem(chinchilla_csv))
    seconds, (least, most) = fitter.compare(optimum, getattr(fitter, way))
    assert seconds > 0
    assert -1e-9 <= least <= most < 1e-3


@pytest.mark.slow
def test_the_process_beside_a_run_that_is_sent_is_counted(tmp_path: Path) -> None:
    tracking = imported("tracking")
    with tracking.serving() as server:
        known = {**os.environ, **tracking.environment(server.url)}
        sent = tracking.measure(20, tmp_path / "sent", known)
        kept = tracking.measure(20, tmp_path / "kept", known, "csv")
    assert len(server.runs) == 1
    # A run that is kept starts git alone.
    assert sent.beside > 3 * kept.beside
