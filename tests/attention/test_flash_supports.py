"""flash supports what Triton really made of its kernels, whatever the environment says now."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest
import torch
from vitladder.plugins.attention._flash_device import architecture_of
from vitladder.plugins.attention.flash import Flash

from vitladder.extend.attention import AttentionSpec

SPEC = {"device": "cpu", "dtype": "bfloat16", "head_dim": 64, "bias": True, "bias_grad": True}
SCRIPT = """
import os, sys
{before}
import torch
from vitladder.extend.attention import AttentionSpec
from vitladder.plugins.attention.flash import Flash
{after}
print(Flash().supports(AttentionSpec(device="cpu", dtype="float32", head_dim=16)))
x = torch.ones(1, 1, 2, 16)
print(Flash()(x, x, x).sum().item() if {runs} else "triton" in sys.modules)
"""
ASK = 'Flash().supports(AttentionSpec(device="cpu", dtype="float32", head_dim=16))'
SET = 'os.environ["TRITON_INTERPRET"] = "1"'


def support(value: str | None, *, runs: bool = False, **code: str) -> list[str]:
    """Return what supports() says in a Python that starts with TRITON_INTERPRET=value."""
    kept = {key: x for key, x in os.environ.items() if key != "TRITON_INTERPRET"}
    script = SCRIPT.format(**({"before": "", "after": ""} | code), runs=runs)
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=kept if value is None else {**kept, "TRITON_INTERPRET": value},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"dtype": "float64"}, "not in float64; attention=naive can"),
        ({"head_dim": 256}, "head_dim up to 128"),
        ({"dropout": True}, "dropout"),
        ({"device": "mps"}, "interpreted, on the CPU and not on mps"),
        ({"device": "cuda"}, "TRITON_INTERPRET was set when triton was imported; start Python wi"),
    ],
)
def test_a_spec_that_flash_cannot_serve_gets_a_reason(change: dict[str, Any], reason: str) -> None:
    assert Flash().supports(AttentionSpec(**SPEC)) is None
    assert reason in str(Flash().supports(AttentionSpec(**(SPEC | change))))


def test_a_launch_gives_the_same_reason_as_supports() -> None:
    reason = str(Flash().supports(AttentionSpec(**(SPEC | {"device": "cuda"}))))
    with pytest.raises(RuntimeError) as raised:
        architecture_of(torch.device("cuda"))
    assert str(raised.value) == reason


def test_the_environment_of_now_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRITON_INTERPRET")
    assert Flash().supports(AttentionSpec(**SPEC)) is None


@pytest.mark.slow
def test_any_value_that_triton_takes_for_yes_interprets() -> None:
    assert support("true", runs=True) == ["None", "32.0"]


@pytest.mark.slow
def test_a_cpu_without_the_interpreter_is_refused_also_after_the_variable_was_set() -> None:
    reason = "flash cannot run on cpu: Triton compiles for GPUs only; set TRITON_INTERPRET=1"
    before, after, _ = support(None, after=f"print({ASK})\n{SET}")
    assert before.startswith(reason)
    assert "Triton compiles for GPUs only" in after


@pytest.mark.slow
def test_the_variable_is_read_when_triton_is_imported() -> None:
    assert "changed after triton was imported" in support(None, before=f"import triton\n{SET}")[0]


@pytest.mark.slow
def test_without_triton_flash_says_so_and_does_not_import_it() -> None:
    missing = (
        "import importlib.util as util\n"
        "found = util.find_spec\n"
        'util.find_spec = lambda name, *rest: None if name == "triton" else found(name, *rest)'
    )
    said, imported = support(None, before=missing)
    assert said.startswith("flash needs triton, which is not installed here")
    assert imported == "False"
