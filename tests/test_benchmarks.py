"""The benchmarks still run, at a small size: what they time is compared, not how long it takes."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from vitladder.laws.optimum import fit_law

FITTER = Path(__file__).parents[1] / "benchmarks" / "fitter.py"


@pytest.fixture
def fitter(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("fitter", FITTER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
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
