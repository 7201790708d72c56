"""A fit in words: the few lines that the terminal shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vitladder.laws.isoflop import MIN_SIZES

CONVENTION = "C = 3 x forward matmul FLOPs; N = parameters; D = images"


def describe_fit(fit: Mapping[str, Any]) -> str:
    """The laws, their intervals, the held-out error, and why what is missing is missing."""
    laws, reasons = fit["laws"], fit.get("reasons", {})
    lines = [_head(fit), f"  {CONVENTION}"]
    lines += _parametric(laws["parametric"], reasons)
    lines += _isoflop(laws["isoflop"], reasons)
    if "parametric_bound" in reasons:
        lines.append(f"    at its bound: {reasons['parametric_bound']}")
    lines.append(_held_out(fit["held_out"], reasons))
    return "\n".join(lines)


def _head(fit: Mapping[str, Any]) -> str:
    left_out = [f"{count} {name}" for name, count in fit["excluded"].items() if count]
    tail = f" (left out: {', '.join(left_out)})" if left_out else ""
    runs = fit["runs"]
    return f"{fit['study']}: {runs} complete {'run' if runs == 1 else 'runs'}{tail}"


def _parametric(law: Mapping[str, Any] | None, reasons: Mapping[str, str]) -> list[str]:
    if law is None:
        return [f"  parametric: no law: {reasons.get('parametric', 'not fitted')}"]
    p, ci = law["params"], law["ci95"] or {}
    return [
        f"  parametric: L = {p['E']:.4g} + {p['A']:.4g}/N^{p['alpha']:.3f}"
        f" + {p['B']:.4g}/D^{p['beta']:.3f}",
        f"    alpha {_value(p['alpha'], ci.get('alpha'))}, beta {_value(p['beta'], ci.get('beta'))}"
        f"; N* ~ C^{_value(law['a'], ci.get('a'))}",
    ]


def _isoflop(law: Mapping[str, Any] | None, reasons: Mapping[str, str]) -> list[str]:
    if law is None:
        return [f"  IsoFLOP: no law: {reasons.get('isoflop', 'not fitted')}"]
    count = _interior(law["minima"])
    edges = [
        f"    edge at {minimum['flops']:.2e} FLOPs: {minimum['reason']}"
        for minimum in law["minima"]
        if minimum["edge"]
    ]
    if law["a"] is None:
        return [f"  IsoFLOP: no law: {reasons.get('isoflop', count)}", *edges]
    ci = law["ci95"] or {}
    exponents = f"N* ~ C^{_value(law['a'], ci.get('a'))}, D* ~ C^{_value(law['b'], ci.get('b'))}"
    return [f"  IsoFLOP: {exponents}; {count}", *edges, *_draws(law)]


def _interior(minima: Sequence[Mapping[str, Any]]) -> str:
    interior = [minimum for minimum in minima if not minimum["edge"]]
    count = f"{len(interior)} of {len(minima)} budgets have an interior minimum"
    exact = sum(minimum["sizes_used"] == MIN_SIZES for minimum in interior)
    return f"{count} ({exact} from {MIN_SIZES} sizes each)" if exact else count


def _draws(law: Mapping[str, Any]) -> list[str]:
    """How many draws behind the intervals lost a budget, where any did."""
    draws = law["resamples"]
    if law["ci95"] is None or draws["same_budgets"] == draws["used"]:
        return []
    return [
        f"    intervals: in {draws['same_budgets']} of {draws['used']} draws the same budgets have "
        "an interior minimum; the others lost some"
    ]


def _held_out(held_out: Mapping[str, Any] | None, reasons: Mapping[str, str]) -> str:
    if held_out is None:
        return f"  held out: none: {reasons.get('held_out', 'not computed')}"
    return (
        f"  held out: log RMSE {held_out['log_rmse']:.3f}, bias {held_out['bias']:+.3f} on "
        f"{held_out['rows']} runs at {held_out['flops']:.2e} FLOPs, fitted without them"
    )


def _value(value: float, interval: Sequence[float] | None) -> str:
    if interval is None:
        return f"{value:.3f}"
    return f"{value:.3f} [{interval[0]:.3f}, {interval[1]:.3f}]"
