"""`vitladder fit`, called in this process."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fit_tables import Fit

from vitladder.cli import main


@pytest.fixture
def fit(capsys: pytest.CaptureFixture[str]) -> Fit:
    """Run the command and return its JSON."""

    def run(*arguments: str) -> dict[str, Any]:
        assert main(["fit", *arguments, "--json"]) == 0
        answer: dict[str, Any] = json.loads(capsys.readouterr().out, parse_constant=_no_constant)
        return answer

    return run


def _no_constant(name: str) -> float:
    raise AssertionError(f"{name} in the answer")
