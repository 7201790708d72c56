"""A fit in words: the lines that the terminal shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vitladder.laws.isoflop import MIN_SIZES

CONVENTION = "C = 3 x forward matmul FLOPs; N = parameters; D = images"
SHOWN_FLAGGED = 5
REASONS = ("bound", "converged", "ci95")

Data = Mapping[str, Any]


def describe_fit(fit: Data) -> str:
    """The laws, their intervals, how they predict, and why what is missing is missing."""
    if "groups" in fit:
        parts = [
            f"{fit['by']} = {value}\n{_group(group)}" for value, group in fit["groups"].items()
        ]
        return "\n".join([_head(fit), *parts])
    return "\n".join([_head(fit), _group(fit)])


def _group(fit: Data) -> str:
    laws, reasons = fit["laws"], fit["reasons"]
    lines = [f"  {note}" for note in _notes(fit)]
    for name, law in laws.items():
        if law is None:
            title = "IsoFLOP" if name == "isoflop" else name
            lines.append(f"  {title}: no law: {reasons.get(name, 'not fitted')}")
        elif name == "isoflop":
            lines += _isoflop(law, reasons)
        elif name == "envelope":
            lines.append(f"  envelope of learning curves: {_exponents(law)}")
        elif len(laws) > 1 and law["resamples"]["drawn"] == 0 and "coef" not in law["params"]:
            lines.append(f"  {name}: {law['formula']}: {_values(law['params'], None)}")
        else:
            lines += _formula(name, law)
    lines += _held_out(fit["held_out"], reasons)
    lines += _tournament(fit["tournament"])
    lines += _disagreement(fit["disagreement"])
    lines += _flagged(fit["flagged_runs"])
    return "\n".join(lines)


def _head(fit: Data) -> str:
    left_out = [f"{count} {name}" for name, count in fit["excluded"].items() if count]
    tail = f" (left out: {', '.join(left_out)})" if left_out else ""
    runs = fit["runs"]
    kind = "complete " if fit["excluded"] else ""
    return f"{fit['study']}: {runs} {kind}{'run' if runs == 1 else 'runs'}{tail}"


def _notes(fit: Data) -> list[str]:
    """How the rows were chosen, and what the columns are."""
    notes = [CONVENTION] if fit.get("of_study") else []
    if fit["criterion"]:
        notes.append(f"minimised: {fit['criterion']['text']}")
    notes += [f"{name}: {fit[name]}" for name in ("where", "hold_out") if fit[name]]
    if fit["scales"]:
        notes.append(f"in units of {', '.join(f'{x}: {k:g}' for x, k in fit['scales'].items())}")
    if fit["flops_per"]:
        notes.append(fit["flops_per"])
    if fit["dropped_worst"]:
        notes.append(f"left out, the highest losses: {', '.join(fit['dropped_worst'])}")
    if fit.get("dropped_flagged"):
        names = ", ".join(one["run"] for one in fit["dropped_flagged"])
        notes.append(f"left out, flagged: {names}")
    return notes


def _formula(name: str, law: Data) -> list[str]:
    """A law with its numbers in it, its intervals, and how good an optimum it is."""
    params = law["params"]
    lines = [f"  {name}: L = {_written(law) if 'coef' in params else law['formula']}"]
    if "coef" not in params:
        lines.append(f"    {_values(params, law['ci95'])}")
    elif "alpha" in params:
        shown = {letter: params[letter] for letter in ("alpha", "beta")}
        growth = f"; N* ~ C^{_value(law['a'], (law['ci95'] or {}).get('a'))}" if law["a"] else ""
        lines.append(f"    {_values(shown, law['ci95'])}{growth}")
    lines += [f"    {law['reasons'][key]}" for key in REASONS if key in law["reasons"]]
    lines.append(
        f"    {law['of']} ({law['runs']}); objective {law['objective']:.6g}, gradient "
        f"{law['gradient_norm']:.0e}, {law['starts_agreeing']} of {law['starts']} starts agree, "
        f"condition number {law['condition_number']:.3g}"
    )
    return [*lines, *_next(law)]


def _written(law: Data) -> str:
    params = law["params"]
    short = {"n_params": "N", "images": "D", "tokens": "D"}
    terms = zip(params["coef"], law["terms"], params["exp"], strict=True)
    parts = [f"{c:.4g}/{short.get(x, x)}^{e:.3f}" for c, x, e in terms]
    return " + ".join([f"{params['E']:.4g}", *parts])


def _next(law: Data) -> list[str]:
    """What to train at ten times the largest compute."""
    if not law.get("frontier"):
        return []
    one = law["frontier"][-1]
    ci95 = one["ci95"] or {}
    shown = ", ".join(
        f"{letter} = {_plain(one[name], ci95.get(name))}"
        for letter, name in (("N*", "n_params"), ("D*", "images"), ("L", "loss"))
    )
    return [f"    at ten times the largest C ({one['flops']:.2e}): {shown}"]


def _isoflop(law: Data, reasons: Mapping[str, str]) -> list[str]:
    count = _interior(law["minima"])
    edges = [
        f"    edge at {minimum['flops']:.2e} FLOPs: {minimum['reason']}"
        for minimum in law["minima"]
        if minimum["edge"]
    ]
    if law["a"] is None:
        return [f"  IsoFLOP: no law: {reasons.get('isoflop', count)}", *edges]
    akima = law["akima"] or {}
    shown = ", ".join(f"{akima[name]:.3f}" for name in ("a", "b") if name in akima)
    other = f" (Akima's curves: {shown})" if shown else ""
    return [f"  IsoFLOP: {_exponents(law)}{other}; {count}", *edges, *_draws(law)]


def _exponents(law: Data) -> str:
    ci = law["ci95"] or {}
    size = f"N* ~ C^{_value(law['a'], ci.get('a'))}"
    return size if law["b"] is None else f"{size}, D* ~ C^{_value(law['b'], ci.get('b'))}"


def _interior(minima: Sequence[Data]) -> str:
    interior = [minimum for minimum in minima if not minimum["edge"]]
    count = f"{len(interior)} of {len(minima)} budgets have an interior minimum"
    exact = sum(minimum["sizes_used"] == MIN_SIZES for minimum in interior)
    return f"{count} ({exact} from {MIN_SIZES} sizes each)" if exact else count


def _draws(law: Data) -> list[str]:
    """How many draws behind the intervals lost a budget, where any did."""
    draws = law["resamples"]
    if law["ci95"] is None or draws["same_budgets"] == draws["used"]:
        return []
    return [
        f"    intervals: in {draws['same_budgets']} of {draws['used']} draws the same budgets have "
        "an interior minimum; the others lost some"
    ]


def _held_out(held_out: Data | None, reasons: Mapping[str, str]) -> list[str]:
    if held_out is None:
        return [f"  held out: none: {reasons.get('held_out', 'not computed')}"]
    where = f"at {held_out['flops']:.2e} FLOPs" if "flops" in held_out else held_out["what"]
    return [
        f"  held out: log RMSE {held_out['log_rmse']:.3f}, bias {held_out['bias']:+.3f} on "
        f"{held_out['rows']} runs {where}, fitted without them"
    ]


def _tournament(table: Sequence[Data]) -> list[str]:
    """The laws by how they predicted what lay ahead of them, where there are several."""
    if len(table) < 2 or table[0]["held_out_log_rmse"] is None:
        return []
    shown = [
        f"{row['law']} {row['held_out_log_rmse']:.3f}"
        for row in table
        if row["held_out_log_rmse"] is not None
    ]
    missing = [row["law"] for row in table if row["held_out_log_rmse"] is None]
    tail = f" (no law at some origin: {', '.join(missing)})" if missing else ""
    return [f"  predicting the next budget from those below, log RMSE: {', '.join(shown)}{tail}"]


def _disagreement(pairs: Sequence[Data] | None) -> list[str]:
    return [
        f"  the approaches disagree beyond their intervals: N* ~ C^{pair['values'][0]:.3f} by "
        f"{pair['laws'][0]}, C^{pair['values'][1]:.3f} by {pair['laws'][1]}"
        for pair in pairs or []
    ]


def _flagged(runs: Sequence[Data]) -> list[str]:
    if not runs:
        return []
    shown = ", ".join(f"{one['run']} (z {one['z']:+.1f})" for one in runs[:SHOWN_FLAGGED])
    more = len(runs) - SHOWN_FLAGGED
    tail = f" and {more} more" if more > 0 else ""
    return [f"  far from the law: {shown}{tail}; --drop-flagged fits without them"]


def _values(params: Data, ci95: Data | None) -> str:
    return ", ".join(f"{name} {_plain(x, (ci95 or {}).get(name))}" for name, x in params.items())


def _value(value: float, interval: Sequence[float] | None) -> str:
    if interval is None:
        return f"{value:.3f}"
    return f"{value:.3f} [{interval[0]:.3f}, {interval[1]:.3f}]"


def _plain(value: float, interval: Sequence[float] | None) -> str:
    """Three significant digits, for numbers of any size."""
    if interval is None:
        return f"{value:.3g}"
    return f"{value:.3g} [{interval[0]:.3g}, {interval[1]:.3g}]"
