"""Asked to compile without a compiler, a command says so before anything is trained."""

from __future__ import annotations

import subprocess

import pytest


def test_without_a_compiler_the_command_says_what_is_missing(
    command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    settings = ["compile=true", "parallel.device=cpu", "compute.steps=1"]
    done = subprocess.run([command, "train", *settings], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "vitladder: compile=true needs a C++ compiler, and there is no no-such-compiler on the "
        "PATH; compile=false needs none"
    ]
