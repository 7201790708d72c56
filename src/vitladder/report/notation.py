"""Numbers as people read them: SI for sizes, powers of ten for compute, plain for losses."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

SUPERSCRIPT = str.maketrans("0123456789-.", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻·")
SI_STEPS = ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
MISSING = "–"


def si(value: float | None) -> str:
    """Three digits and an SI prefix: 34200 is 34.2k."""
    if value is None:
        return MISSING
    rounded = float(f"{value:.3g}")
    for step, prefix in SI_STEPS:
        if abs(rounded) >= step:
            return f"{rounded / step:.3g}{prefix}"
    return f"{rounded:.3g}"


def with_unit(value: float, unit: str) -> str:
    """A number, a space, and its unit with the prefix: 180 GFLOP/s."""
    text = si(value)
    number = text.rstrip("kMGTP")
    return f"{number} {text[len(number) :]}{unit}"


def power_of_ten(value: float | None, digits: int = 2) -> str:
    """A few digits times a power of ten: 3e11 is 3×10¹¹, 1e10 is 10¹⁰."""
    if value is None:
        return MISSING
    if value == 0:
        return "0"
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    power = f"10{superscript(str(int(exponent)))}"
    short = f"{float(mantissa):g}"
    return power if short == "1" else f"{short}×{power}"


def superscript(text: str) -> str:
    """Digits, sign and point raised: 0.51 is ⁰·⁵¹."""
    return text.translate(SUPERSCRIPT)


def plain(value: float | None, digits: int = 3) -> str:
    """A fixed number of decimals."""
    return MISSING if value is None else f"{value:.{digits}f}"


def significant(value: float | None, digits: int = 3) -> str:
    """A number of significant digits, a power of ten where it would be long."""
    if value is None:
        return MISSING
    if value != 0 and not 1e-3 <= abs(value) < 1e5:
        return power_of_ten(value, digits)
    rounded = float(f"{value:.{digits}g}")
    return f"{rounded:.0f}" if abs(rounded) >= 10 ** (digits - 1) else f"{rounded:.{digits}g}"


def percent(value: float | None) -> str:
    """A fraction as a percentage with one decimal."""
    return MISSING if value is None else f"{100 * value:.1f} %"


def interval(bounds: Sequence[float] | None, digits: int = 3) -> str:
    """[low, high] of a 95 % interval in significant digits."""
    if bounds is None:
        return MISSING
    return f"{significant(bounds[0], digits)} to {significant(bounds[1], digits)}"


def law_formula(params: Mapping[str, float]) -> str:
    """The parametric law with its numbers: L(N, D) = 0.3 + 60/N⁰·⁵⁰ + 900/D⁰·⁵⁵."""
    size = f"{significant(params['A'])}/N{superscript(plain(params['alpha']))}"
    data = f"{significant(params['B'])}/D{superscript(plain(params['beta']))}"
    return f"L(N, D) = {significant(params['E'])} + {size} + {data}"


def finite(value: object) -> float | None:
    """The value as a float where it is a finite number, else None."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)
