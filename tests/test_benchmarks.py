"""The benchmarks still run, at a small size: what they time is compared, not how long it takes."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from vitladder.laws.optimum import fit_law

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def imported(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
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
def test_both_processes_of_a_run_that_is_sent_are_counted(
    capsys: pytest.CaptureFixture[str],
) -> None:
    imported("tracking").main([20])
    [line] = capsys.readouterr().out.splitlines()
    found = re.fullmatch(
        r"20 steps: [\d.]+ s, ([\d.]+) CPU s; the sender ([\d.]+) CPU s, ([\d.]+) % of it", line
    )
    assert found is not None
    ours, beside, share = (float(number) for number in found.groups())
    assert share == pytest.approx(100 * beside / ours, rel=0.1)
    assert beside > 0
