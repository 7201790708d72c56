"""The conformance kit is tested itself: it passes a right kernel and catches every wrong one.

`pytest -s tests/attention/test_mutants.py` prints what caught each, in which case, by how much.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from mutants import Mutant, build_blocked, build_flash
from mutants_blocked import MUTANTS as BLOCKED
from mutants_flash import MUTANTS as FLASH

from vitladder.extend.attention import AttentionKernel
from vitladder.extend.conformance import check_attention

interpreter = pytest.mark.skipif(
    os.environ.get("TRITON_INTERPRET") != "1",
    reason="the Triton kernels run on this machine's CPU with TRITON_INTERPRET=1 only",
)


def test_the_right_kernel_passes(tmp_path: Path) -> None:
    assert check_attention(build_blocked(tmp_path)) == []


@pytest.mark.parametrize("mutant", BLOCKED, ids=str)
def test_a_mutant_of_the_blocked_kernel_is_caught(mutant: Mutant, tmp_path: Path) -> None:
    _caught(build_blocked(tmp_path, mutant), mutant)


@interpreter
def test_the_unchanged_triton_kernel_passes(tmp_path: Path) -> None:
    rules = ["supports", "contract", "untouched", "canaries", "error_o", "error_dq", "memory"]
    assert check_attention(build_flash(tmp_path), rules=rules) == []


@interpreter
@pytest.mark.parametrize("mutant", FLASH, ids=str)
def test_a_mutant_of_the_triton_kernel_is_caught(mutant: Mutant, tmp_path: Path) -> None:
    _caught(build_flash(tmp_path, mutant), mutant)


def _caught(kernel: AttentionKernel, mutant: Mutant) -> None:
    """Assert that the rule that the mutant names finds it; say what it found."""
    found = check_attention(kernel, rules=[mutant.caught_by], first=True)
    broken = [finding for finding in found if finding.status == "broken"]
    assert broken, f"{mutant.caught_by} does not see: {mutant.name}"
    assert str(broken[0].measured).startswith("raised ") == mutant.raises, str(broken[0])
    print(f"{mutant.name}: {broken[0]}")
