"""The options of `pytest --pyargs vitladder.extend.conformance`; an entry point brings them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --attention, --position, --conformance and --conformance-device."""
    group = parser.getgroup("vitladder", "plugins of vitladder")
    group.addoption(
        "--attention", action="append", default=[], metavar="NAME", help="a kernel to test"
    )
    group.addoption(
        "--position", action="append", default=[], metavar="NAME", help="an encoding to test"
    )
    group.addoption(
        "--conformance",
        choices=("fast", "thorough"),
        default="fast",
        help="every value of every factor in some case, or every pair of values",
    )
    group.addoption("--conformance-device", default="cpu", metavar="DEVICE", help="such as cuda")
