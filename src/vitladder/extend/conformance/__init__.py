"""The test kit of plugins: rules that hold for right kernels and encodings and catch wrong ones.

    pytest --pyargs vitladder.extend.conformance --attention=NAME    (or --position=NAME)
    vitladder plugins check NAME
    check_attention(kernel), check_position(encoding)                in a program

Kernels are compared with attention in float64 by its formulas, in units of the rounding error that
their dtype explains, and inside timm's model with timm's own attention. What a kernel refuses
through supports() is not tested.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vitladder.extend.conformance.attention import check_attention, examine_attention
    from vitladder.extend.conformance.finding import Finding, Report
    from vitladder.extend.conformance.position import check_position, examine_position

__all__ = [
    "Finding",
    "Report",
    "check_attention",
    "check_position",
    "examine_attention",
    "examine_position",
]


def __getattr__(name: str) -> Any:
    """Import what is asked for only now: pytest loads this package in every session."""
    homes = {"check_attention": "attention", "examine_attention": "attention"}
    homes |= {"check_position": "position", "examine_position": "position"}
    homes |= {"Finding": "finding", "Report": "finding"}
    if name not in homes:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{homes[name]}"), name)
