"""Real files that tests may use; where they are absent, the tests that need them are skipped."""

from __future__ import annotations

import os

# Triton decides at its first import whether it interprets; timm, lightning and torch import it.
os.environ["TRITON_INTERPRET"] = "1"
# Tests run side by side: torch's threads of one would wait for those of another.
os.environ["OMP_NUM_THREADS"] = "1"
# Threads of one that has several wait asleep: awake, they take the core that the rest needs.
os.environ["OMP_WAIT_POLICY"] = "PASSIVE"

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

# Nothing is timed: a machine with other work to do fails no formula.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

SHARED = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def cifar10() -> Path:
    """The folder with the real CIFAR-10: train.parquet and test.parquet, columns img and label."""
    folder = SHARED / "cifar10"
    if not (folder / "train.parquet").exists():
        pytest.skip("the CIFAR-10 parquet files are not beside the checkout")
    return folder


@pytest.fixture(scope="session")
def chinchilla_csv() -> Path:
    """The open table of 245 Chinchilla runs."""
    file = SHARED / "scaling" / "chinchilla_epoch.csv"
    if not file.exists():
        pytest.skip("chinchilla_epoch.csv is not beside the checkout")
    return file


@pytest.fixture(scope="session")
def command() -> str:
    """The installed `vitladder` command."""
    return str(Path(sys.executable).with_name("vitladder"))


@pytest.fixture
def here(capfd: pytest.CaptureFixture[str]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Answers as the command does, in this process, which has imported what another would have to.

    What speaks of the process (that torch is not imported, that a worker dies) needs `command`.
    """
    from vitladder.cli import main

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        capfd.readouterr()
        code = main(arguments)
        return subprocess.CompletedProcess(arguments, code, *capfd.readouterr())

    return call


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test works in a folder of its own, with a cache of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / ".user-cache"))
